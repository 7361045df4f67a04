#!/usr/bin/env bash
# Builds and runs native/test/*_test.cc and native/post/test/*_test.cc without Node: all with AddressSanitizer and
# UndefinedBehaviorSanitizer, and those of parts that two threads or processes share (rings, devices) with ThreadSanitizer: vault
# and post-processing have one thread. As many at once as there are cores.
#   bash native/test/run.sh [--build] [TEST...]      names of tests (without _test.cc), or none for all; --build: builds only
# QKME_NATIVE_TEST_OUT: another folder than build/native-test. Whatever is newer there than its sources is not built again.
# A test program prints its own "N passed, N failed"; one that does not counts as one. Closing line: the sum.
set -u
cd "$(dirname "$0")/../.."
out=${QKME_NATIVE_TEST_OUT:-build/native-test}
cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || { echo "no C++ compiler: apt-get install g++"; exit 1; }
include=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")/include/node
[ -e "$include/openssl/evp.h" ] || include=/usr/include
crypto=-l:libcrypto.so.3
echo 'int main(){}' | "$cxx" -x c++ - -o /dev/null $crypto 2>/dev/null || crypto=-lcrypto
only_build=0
[ "${1:-}" = --build ] && { only_build=1; shift; }

flags="-std=c++20 -Og -g1 -Wall -Wextra -Inative -isystem $include -fno-omit-frame-pointer"
newest_header=$(find native -name '*.h' -printf '%T@ %p\n' | sort -rn | head -1 | cut -d' ' -f2-)
all_sources=$(find native -name '*.cc' -not -path 'native/test/*' -not -path '*/binding/*' -not -path 'native/glibc/*' -not -path 'native/post/test/*' -not -path 'native/bench/*' -not -path 'native/fuzz/*' | sort)
all_tests=$(ls -S native/test/*_test.cc native/post/test/*_test.cc)
declare -A sanitize=([asan]="-fsanitize=address,undefined -fno-sanitize-recover=all" [tsan]="-fsanitize=thread")
declare -A sources=([asan]=$all_sources [tsan]="$(grep -v -e /post/ -e /vault/ <<<"$all_sources") native/vault/locked_memory.cc")
declare -A tests=([asan]=$all_tests [tsan]=$(grep -v -e /post/ -e /vault_ <<<"$all_tests"))
kinds="asan tsan"
for kind in $kinds; do
  chosen=""
  for test in ${tests[$kind]}; do
    [ $# -gt 0 ] && [[ " $* " != *" $(basename "$test" _test.cc) "* ]] || chosen="$chosen $test"
  done
  tests[$kind]=$chosen
done

wait_for_core() { while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done; }
object_of() { echo "$out/$1/${2%.cc}.o"; }                # kind, source
program_of() { echo "$out/$1/$(basename "$2" _test.cc)"; } # kind, test source

precompile() { # kind: the standard library's headers
  [ "$out/$1/std.h.gch" -nt "$newest_header" ] && return 0
  mkdir -p "$out/$1"
  cp native/test/std.h "$out/$1/std.h"
  "$cxx" $flags ${sanitize[$1]} -x c++-header "$out/$1/std.h" -o "$out/$1/std.h.gch"
}

compile() { # kind, source
  local object; object=$(object_of "$1" "$2")
  [ "$object" -nt "$2" ] && [ "$object" -nt "$newest_header" ] && return 0
  mkdir -p "$(dirname "$object")"
  rm -f "$object"
  "$cxx" $flags ${sanitize[$1]} -include "$out/$1/std.h" -c "$2" -o "$object"
}

archive() { # kind: what all its tests are linked with. False if a source did not compile
  local objects="" source object changed=0
  for source in ${sources[$1]}; do
    object=$(object_of "$1" "$source")
    [ -e "$object" ] || { echo "not ok $object did not compile"; return 1; }
    [ "$out/$1/all.a" -nt "$object" ] || changed=1
    objects="$objects $object"
  done
  [ $changed -eq 0 ] && [ "$(ar t "$out/$1/all.a" | wc -l)" -eq "$(wc -w <<<"$objects")" ] && return 0
  rm -f "$out/$1/all.a"
  ar rcs "$out/$1/all.a" $objects
}

link_test() { # kind, test source
  local object program; object=$(object_of "$1" "$2") program=$(program_of "$1" "$2")
  [ -e "$object" ] && [ "$program" -nt "$object" ] && [ "$program" -nt "$out/$1/all.a" ] && return 0
  rm -f "$program"
  [ ! -e "$object" ] || "$cxx" ${sanitize[$1]} "$object" "$out/$1/all.a" $crypto -lpthread -o "$program"
}

run_test() { # kind, test source: leaves "passed failed" in PROGRAM.result and what to say in PROGRAM.said
  local name program p=0 f=0 code line; name=$(basename "$2" _test.cc) program=$(program_of "$1" "$2")
  if [ ! -e "$program" ]; then
    echo "not ok $1 $name: does not build" >"$program.said"
    echo 0 1 >"$program.result"
    return
  fi
  timeout 300 "$program" >"$program.log" 2>&1; code=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$program.log" | tail -1)
  if [ -n "$line" ]; then p=${line%% passed*}; f=${line##*, }; f=${f%% failed*}; elif [ $code -eq 0 ]; then p=1; fi
  [ $code -ne 0 ] && [ "$f" -eq 0 ] && f=1
  if [ "$f" -ne 0 ]; then { echo "not ok $1 $name (exit $code)"; tail -40 "$program.log"; } >"$program.said"; else echo "ok $1 $name: $p" >"$program.said"; fi
  echo "$p $f" >"$program.result"
}

for_each() { # step, kinds…: the step for each chosen test of each kind, as many at once as there are cores
  local step=$1 kind test; shift
  for kind in "$@"; do for test in ${tests[$kind]}; do "$step" "$kind" "$test" & wait_for_core; done; done
  wait
}

passed=0 failed=0 built=""
for kind in $kinds; do precompile "$kind" & done; wait
for kind in $kinds; do for source in ${tests[$kind]} ${sources[$kind]}; do compile "$kind" "$source" & wait_for_core; done; done; wait
for kind in $kinds; do if archive "$kind"; then built="$built $kind"; else failed=$((failed + 1)); fi; done
for_each link_test $built
[ $only_build -eq 0 ] || exit "$failed"

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
for kind in $built; do for test in ${tests[$kind]}; do rm -f "$(program_of "$kind" "$test").result"; done; done
for_each run_test $built
for kind in $built; do
  for test in ${tests[$kind]}; do
    program=$(program_of "$kind" "$test") p=0 f=1
    [ ! -e "$program.result" ] || read -r p f <"$program.result"
    cat "$program.said"
    passed=$((passed + p)) failed=$((failed + f))
  done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
