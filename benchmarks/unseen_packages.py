"""Packages of documentation that no rule, limit or test of siftloom was set on: `--corpus unseen`.

Nobody chose them by their text. Of the `-doc` packages of Debian 13 with 1 to 20 MB that nothing here names, they are
the first by the BLAKE2b-64 of their names, up to 115,000 pieces; those of fewer than 100 pieces are left out. They hold
manuals of libraries and programs, classes of C++, Java and Haskell, and guides in other languages. Do not tune on them:
a limit that was tuned on them holds on them alone.
"""

PACKAGES = tuple(
    (
        "groovy-doc enigma-doc openjph-doc libmongoc-doc libplib-doc python-apsw-doc libdune-grid-doc libomp-22-doc "
        "wand-doc python-pil-doc mcl-doc colobot-dev-doc fwupd-doc slurm-wlm-doc libswe-doc libexiv2-doc "
        "qtcreator-doc guitarix-doc python-oslo.config-doc libcommons-collections4-java-doc python-odf-doc "
        "python-distributed-doc topcat-doc efl-doc swift-doc copyq-doc glances-doc lemonldap-ng-doc "
        "python-structlog-doc libqca2-doc libgtkmm-4.0-doc texstudio-doc cargo-doc praw-doc libhtsjdk-java-doc "
        "libsdl2-doc python3-sbml5-doc libgwenhywfar-doc glance-doc cimg-doc libghc-pandoc-doc msc-generator-doc "
        "libvirt-doc kvazaar-doc dynare-doc seqan-raptor-doc icu-doc lomiri-doc python-openstacksdk-doc "
        "python3-rpyc-doc libghc-agda-doc cargo-web-doc libosmogsm-doc libeigen3-doc liquidsoap-doc libcifpp-doc "
        "libsvn-doc python-can-doc yodl-doc python-skimage-doc libstarlink-ast-doc "
        "liblomiri-download-manager-client-doc libghc-lambdahack-doc maliit-framework-doc libglibmm-2.68-doc "
        "knot-resolver-doc libjs-of-ocaml-doc liblapack-doc "
    ).split()
)
