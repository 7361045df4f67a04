#!/usr/bin/env bash
# Fuzzes the parsers of what devices and other parties send: frame_fuzz (a hostile device on a ring), stream_fuzz (a character
# device's stream, a ring's header), post_fuzz (messages of reconciliation), all under AddressSanitizer and
# UndefinedBehaviorSanitizer. With clang by libFuzzer, guided by coverage; else by native/fuzz/main.cc, seeded mutants.
# An input that breaks a rule is kept in build/native-fuzz/; give it to build/native-fuzz/TARGET-main to see it again.
# Formats that TypeScript reads (QIX, 004 and 014 bodies, records, files) are fuzzed by test/device/parsers-fuzz.test.ts.
#   bash native/fuzz/run.sh [SECONDS [SEED]] [-- TARGET...]      default 10 s each, seed 1, all targets
set -eu
cd "$(dirname "$0")/../.."
out=build/native-fuzz seconds=10 seed=1
[ $# -gt 0 ] && [ "$1" != -- ] && { seconds=$1; shift; }
[ $# -gt 0 ] && [ "$1" != -- ] && { seed=$1; shift; }
[ $# -gt 0 ] && shift
targets=${*:-frame_fuzz stream_fuzz post_fuzz}
# Before minutes of compiling, and before libFuzzer, which ends with an uncaught exception of its own.
whole() { # what value most
  case $2 in ''|*[!0-9]*|???????????*) ;; *) [ "$((10#$2))" -gt "$3" ] || return 0 ;; esac
  echo "native/fuzz/run.sh: $1 '$2': give a whole number from 0 to $3" >&2; exit 2
}
whole SECONDS "$seconds" 1000000
whole SEED "$seed" 4294967295
for target in $targets; do
  [ -e "native/fuzz/$target.cc" ] || { echo "native/fuzz/run.sh: no target '$target': there are frame_fuzz, stream_fuzz and post_fuzz" >&2; exit 2; }
done
include=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")/include/node
[ -e "$include/openssl/evp.h" ] || include=/usr/include
crypto=-l:libcrypto.so.3
echo 'int main(){}' | g++ -x c++ - -o /dev/null $crypto 2>/dev/null || crypto=-lcrypto
flags="-std=c++20 -O1 -g1 -Wall -Wextra -Inative -isystem $include -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
driver=main
# clang may be there without its runtime (Debian: libclang-rt-VERSION-dev).
target='extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
if clang++ -x c++ - -fsanitize=fuzzer,address,undefined -o /dev/null 2>/dev/null <<<"$target"; then cxx=clang++ driver=libFuzzer; else cxx=${CXX:-g++}; fi
[ $driver = main ] || flags="$flags -fsanitize=fuzzer-no-link"
echo "driver: $driver ($cxx)"
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
newest_header=$(find native -name '*.h' -printf '%T@ %p\n' | sort -rn | head -1 | cut -d' ' -f2-)

compile() { # source: prints its object, made if it is older than its source or any header
  local object=$out/$driver/${1%.cc}.o
  if ! { [ "$object" -nt "$1" ] && [ "$object" -nt "$newest_header" ]; }; then mkdir -p "$(dirname "$object")"; "$cxx" $flags -c "$1" -o "$object"; fi
  echo "$object"
}

build() { # target: its program and, for libFuzzer, the one that writes the seeds
  local sources="native/crc32c.cc native/frame_mac.cc native/fingerprint.cc native/health.cc native/health_scan.cc native/ingest.cc native/ring.cc native/seen_frames.cc native/pci/stream_parser.cc native/vault/locked_memory.cc"
  [ "$1" != post_fuzz ] || sources=$(find native/post -maxdepth 1 -name '*.cc'; ls native/gf128*.cc)
  local objects="" source
  for source in $sources native/fuzz/$1.cc; do objects="$objects $(compile "$source")"; done
  local main; main=$(compile native/fuzz/main.cc)
  "$cxx" $flags $objects $main $crypto -lpthread -o $out/$1-main
  [ $driver = main ] || "$cxx" $flags -fsanitize=fuzzer $objects $crypto -lpthread -o $out/$1
}

mkdir -p $out
for target in $targets; do
  build "$target"
  echo "$target"
  if [ $driver = main ]; then
    (cd $out && ./$target-main --seconds "$seconds" --seed "$seed")
  else
    mkdir -p $out/corpus/$target
    $out/$target-main --write-seeds $out/corpus/$target
    $out/$target -max_total_time="$seconds" -seed="$seed" -max_len=65536 -artifact_prefix=$out/ $out/corpus/$target
  fi
done
