"""`Loop`: a loop over arrays that runs as machine code, compiled once on a kind of machine and linked from then on.

Numba compiles; its own cache needs numba again to be read, and to load numba takes a worker longer than to hash ten
thousand documents. So what it makes is kept as an object file, which llvmlite links in a few milliseconds. That works
for functions that stand alone: arrays and whole numbers in, nothing returned, nothing allocated (numba is told so, and
refuses what would), so that no symbol of numba's runtime is left in them.

The files lie in `$NUMBA_CACHE_DIR`, else in the user's cache folder, else (a read-only home) with temporary files; in a
folder named after all that can change them: the text of this room, the compiler, the processor.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

# Plain integer arithmetic: nothing may depend on the order or the size of a vector. No runtime of numba's: nothing is
# allocated, nor are references counted.
FLAGS = {"error_model": "numpy", "_nrt": False}
DIGEST = 32  # bytes of SHA-256 before the object
ENTRY = "siftloom_loop"
PATIENCE = 600  # tenths of a second that a process waits for another one that compiles: it may be stopped for ever

Kind = tuple[str, int]  # of an argument: its dtype and number of dimensions; 0: a number


class Loop:
    """A function of contiguous arrays and whole numbers (64 bits; unsigned where it is a `np.uint64`).

    Made from a function without arguments that imports the loop and returns it: that is not called before the loop must
    be compiled, and the import is seen by whoever reads the code behind a node. The arrays are neither copied nor
    checked for their length, and written where the loop writes, be they read-only; other threads run meanwhile.
    TypeError for another argument. Plain Python without numba.
    """

    def __init__(self, find: Callable[[], Callable[..., None]]) -> None:
        self.name, self.find = find.__name__.strip("_"), find
        self._made: dict[tuple[Kind, ...], Callable[..., None]] = {}

    def __call__(self, *args: Any) -> None:
        kinds = tuple([self._kind(arg) for arg in args])
        run = self._made.get(kinds)
        if run is None:
            run = self._made[kinds] = self._make(kinds)
        run(*args)

    def _kind(self, arg: Any) -> Kind:
        if isinstance(arg, np.ndarray):
            if not arg.flags.c_contiguous:
                raise TypeError(f"the loop `{self.name}` takes contiguous arrays, found strides {arg.strides}")
            return arg.dtype.str, arg.ndim
        if not isinstance(arg, Integral):
            raise TypeError(f"the loop `{self.name}` takes arrays and whole numbers, found {type(arg).__name__}")
        return "uint64" if getattr(arg, "dtype", None) == np.uint64 else "int64", 0

    def _make(self, kinds: tuple[Kind, ...]) -> Callable[..., None]:
        if importlib.util.find_spec("numba") is None:
            return self.find()
        said = f"{self.find.__module__}.{self.find.__name__} {kinds}"
        path = Path(folder(), f"{self.name}-{hashlib.sha256(said.encode()).hexdigest()[:16]}.o")
        code = _stored(path)
        if code is None:
            with _alone(path):
                code = _stored(path)
                if code is None:
                    code = compiled(self.find(), kinds)
                    _store(path, code)
        return _linked(code, path.stem, kinds)


def inner(function: Callable) -> Any:
    """A function that loops call; plain Python without numba."""
    try:
        from numba import njit
    except ImportError:
        return function
    return njit(**FLAGS)(function)


def compiled(function: Callable[..., None], kinds: tuple[Kind, ...]) -> bytes:
    """The object file of a loop for arguments of these kinds, tuned to this processor. The symbol is `ENTRY`."""
    from llvmlite import binding
    from numba import from_dtype, njit, types

    signature = tuple(
        types.Array(from_dtype(np.dtype(dtype)), dimensions, "C") if dimensions else from_dtype(np.dtype(dtype))
        for dtype, dimensions in kinds
    )
    dispatcher: Any = njit(**FLAGS, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    dispatcher.compile(signature)
    (made,) = dispatcher.overloads.values()
    module = binding.parse_assembly(made.library.get_llvm_str())
    module.get_function(made.fndesc.llvm_func_name).name = ENTRY
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="default",
    )
    return machine.emit_object(module)


def _linked(code: bytes, name: str, kinds: tuple[Kind, ...]) -> Callable[..., None]:
    """The function in an object file, called as numba calls: (result, error, arguments), an array as seven and more."""
    from llvmlite import binding

    # The process offers what a compiler takes for granted, such as `memset`.
    builder = binding.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(ENTRY)
    library = builder.link(_linker(), name)
    words = 2 + sum(4 + 1 + 2 * dimensions if dimensions else 1 for _, dimensions in kinds)
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * words)(library[ENTRY])

    def run(*args: Any) -> None:
        result, flat = np.zeros(2, np.int64), []
        for arg, (_, dimensions) in zip(args, kinds, strict=True):
            if dimensions:
                # Nobody's memory, no owner; number and size of its items, where they are, shape, strides.
                flat += (0, 0, arg.size, arg.itemsize, arg.ctypes.data, *arg.shape, *arg.strides)
            else:
                flat.append(int(arg))
        status = function(result.ctypes.data, result.ctypes.data + 8, *flat)
        if status:  # to name the library is also to keep it: its code goes with it
            raise RuntimeError(f"the loop {library.name} ended with status {status}")

    return run


@cache
def _linker() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    # JITLink puts all of a file in one piece of memory and checks every distance; the older linker does neither.
    return binding.create_lljit_compiler(use_jit_link=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process of a machine compiles a loop; the others wait for what it stores, or for its end, or for a minute."""
    with ExitStack() as held:
        with suppress(OSError):  # a folder that cannot be written, a file system without locks: each for itself
            lock = held.enter_context(open(path.with_suffix(".lock"), "a"))
            for _ in range(PATIENCE):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.1)
        yield


def _stored(path: Path) -> bytes | None:
    try:
        found = path.read_bytes()
    except OSError:
        return None
    code = found[DIGEST:]
    return code if hashlib.sha256(code).digest() == found[:DIGEST] else None


def _store(path: Path, code: bytes) -> None:
    """Keep it for the next process, if that can be done: a full disk is no reason not to run."""
    own = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        own.write_bytes(hashlib.sha256(code).digest() + code)
        own.replace(path)
    except OSError:
        own.unlink(missing_ok=True)


@cache
def folder() -> str:
    """Where the machine code of this version of the room is kept, for this processor."""
    from importlib.metadata import version

    from llvmlite import binding

    state = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        state.update(path.read_bytes())
    state.update(f"{version('numba')} {version('llvmlite')} {binding.get_default_triple()}".encode())
    state.update(f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}".encode())
    name = f"siftloom-{state.hexdigest()[:16]}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base in (os.environ.get("NUMBA_CACHE_DIR"), f"{home}/siftloom"):
        if base and _is_ours(Path(base, name)):
            return os.path.join(base, name)
    last = Path(tempfile.gettempdir(), f"{name}-{os.getuid()}")
    return str(last) if _is_ours(last) else tempfile.mkdtemp()


def _is_ours(path: Path) -> bool:
    """It can be written, and by nobody else: what lies in it will be run."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError:
        return False
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.getuid() and not others and os.access(path, os.W_OK)
