#!/bin/sh
# Makes the recordings of this folder again, with the perf of the machine it runs on. Needs perf, gcc, make and node,
# and the right to record system-wide (root, or kernel.perf_event_paranoid = -1).
#
#   sh recordings/record.sh [DIRECTORY]      (default: this folder)
#
# --synth=task leaves out the memory maps of everything else that runs on the machine, -B and -N the build ids.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$here/hash.mjs" "$scratch/"
cd "$scratch"

# Eight C files of sixteen functions each, and a Makefile.
for file in 1 2 3 4 5 6 7 8; do
  {
    echo '#include <stdio.h>'
    echo '#include <stdlib.h>'
    echo '#include <string.h>'
    for f in $(seq 1 16); do
      echo "int part_${file}_$f(const char *s, int n) {"
      echo "  int sum = $f; for (int i = 0; i < n; i++) { switch (s[i] % 7) {"
      echo "    case 0: sum += i; break; case 1: sum ^= i * $f; break; case 2: sum -= (int)strlen(s); break;"
      echo "    default: sum = sum * 31 + s[i]; } } if (sum == $f) puts(s); return sum; }"
    done
  } >"part$file.c"
done
echo 'int main(void) { return 0; }' >main.c
{
  echo 'parts = main.o part1.o part2.o part3.o part4.o part5.o part6.o part7.o part8.o'
  echo 'program: $(parts)'
  printf '\tgcc -o $@ $(parts)\n'
  echo '%.o: %.c'
  printf '\tgcc -O2 -c -o $@ $<\n'
} >Makefile

record() { # NAME OPTIONS... -- COMMAND...
  name=$1
  shift
  rm -f ./*.o program
  perf record -B -N --synth=task --switch-events -e dummy -o "$name" "$@" >/dev/null
  # The mode of perf's files lets nobody else read them.
  install -m 644 "$name" "$out/$name"
}

record make-j2.system.data -a -- make -s -j2
record make-j2.task.data -- make -s -j2
record sched-pipe.system.data -a -- perf bench sched pipe -l 500
record sched-pipe.task.data -- perf bench sched pipe -l 500
record sched-messaging.system.data -a -- perf bench sched messaging -g 1 -l 20
record sched-messaging.task.data -- perf bench sched messaging -g 1 -l 20
record node-hash.system.data -a -- node hash.mjs
record node-hash.task.data -- node hash.mjs

# The other shapes that a perf.data can have.
record sched-messaging-z.system.data -z -a -- perf bench sched messaging -g 1 -l 200
record sched-messaging-threads-z.task.data -z -- perf bench sched messaging -t -g 1 -l 100
record make-j2.task-with-cpu.data --sample-cpu -- make -s -j2
record idle.system.data -a -- sleep 0.05
perf record -B -N --synth=task --switch-events -e dummy -a -o - -- perf bench sched pipe -l 100 2>/dev/null >pipe-mode.system.data
install -m 644 pipe-mode.system.data "$out/"
node -e 'setInterval(() => {}, 5); setTimeout(() => process.exit(), 600)' &
sleep 0.3
record attached.task.data -p $! -- sleep 0.1
wait
record per-thread-without-times.data --per-thread -- true
