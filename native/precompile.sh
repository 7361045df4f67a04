#!/bin/sh
# precompile.sh FOLDER MODULE INCLUDE...: what g++ makes of the standard headers (native/test/std.h) in FOLDER, and with them of those of
# the addon MODULE ("-": none), each beside an empty header for `-include`. The options have to be those of binding.gyp and of
# node-gyp: where they are not, or a compiler knows no .gch, it takes the empty header, and the sources read what they include
# themselves. So nothing here can make a build fail, or change what comes out of it.
set -u
folder=$1 module=$2; shift 2
includes=; for include in "$@"; do includes="$includes -I$include"; done
defines='-D_GLIBCXX_USE_CXX11_ABI=1 -D_FILE_OFFSET_BITS=64 -D_LARGEFILE_SOURCE -D__STDC_FORMAT_MACROS'
cp native/test/std.h "$folder/source.h"
if [ "$module" != - ]; then
  echo '#include <napi.h>' >>"$folder/source.h"
  defines="$defines -DNAPI_VERSION=9 -DNAPI_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED -DNODE_GYP_MODULE_NAME=$module -DUSING_UV_SHARED=1
    -DUSING_V8_SHARED=1 -DV8_DEPRECATION_WARNINGS=1 -DOPENSSL_NO_PINSHARED -DOPENSSL_THREADS -DBUILDING_NODE_EXTENSION"
fi
# Only GCC: clang makes errors of options that differ.
${CXX:-g++} --version 2>/dev/null | grep -q 'Free Software Foundation' || { rm -f "$folder/common.h.gch"; : >"$folder/common.h"; exit 0; }
# shellcheck disable=SC2086 # Words.
${CXX:-g++} -std=c++20 -O3 -fPIC -pthread -fvisibility=hidden -fno-rtti -fno-omit-frame-pointer $defines $includes \
  -x c++-header "$folder/source.h" -o "$folder/common.h.gch" 2>/dev/null || rm -f "$folder/common.h.gch"
: >"$folder/common.h"
