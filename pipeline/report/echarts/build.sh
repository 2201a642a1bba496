#!/usr/bin/env bash
# Make echarts.js and its licence files from npm packages; needs node and npm. Run it in this folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >/dev/null
npm install --silent --save-exact echarts@6.1.0 zrender@6.1.0 esbuild@0.28.2
cp "$here/parts.mjs" .
npx esbuild parts.mjs --bundle --minify --format=iife --global-name=echarts --target=es2020 --legal-comments=none \
  --define:process.env.NODE_ENV='"production"' \
  --banner:js='/* Apache ECharts 6.1.0 (Apache-2.0) with zrender 6.1.0 (BSD-3-Clause): see LICENSE and NOTICE. */' \
  --outfile="$here/echarts.js"
{
  cat node_modules/echarts/LICENSE
  for part in "d3:node_modules/echarts/licenses/LICENSE-d3" "zrender:node_modules/zrender/LICENSE" "tslib:node_modules/tslib/LICENSE.txt"; do
    printf '\n\n========================================================================\nLicense of %s\n\n' "${part%%:*}"
    cat "${part#*:}"
  done
} >"$here/LICENSE"
cp node_modules/echarts/NOTICE "$here/NOTICE"
cd "$here"
sha256sum echarts.js LICENSE NOTICE >SHA256SUMS
