#!/bin/busybox sh
# The guest's first process. It prepares the system, says "ready" on the port org.spevisor.control, and does what the
# lines say that come from there:
#
#   run BASE64        runs a shell script in a session of its own, its streams on the ports org.spevisor.stdin, .stdout
#                     and .stderr; then "exit STATUS", 128+n after signal n
#   share TAG BASE64 [OPTIONS]
#                     mounts a 9p share at a directory, with more options of mount
#   module NAME       loads a module
#   date SECONDS      sets the clock, in seconds since 1970
#   size ROWS COLS    tells the console its terminal's size
#   console           an interactive shell on the serial console; the machine is off when it ends
#   poweroff          turns the machine off
#
# Each line but the last two has one answer: "exit STATUS" for run, "ok" or "error TEXT" for the others. Without the
# port it says so on the serial console, in a line that the host looks for (vmm/agent.ts), and starts the shell there.
#
# On the port org.spevisor.out, also while a command runs, each line is answered with a tar archive and "exit STATUS":
#
#   collect           /out
#   symbols BASE64    for a profile that is read elsewhere: kallsyms, and below symfs the files of a list that are there
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-vt100}" ENV=/etc/profile
CONSOLE=/dev/ttyAMA0

prepare() {
  /bin/busybox --install -s
  mount -t devtmpfs dev /dev
  mount -t proc proc /proc
  mount -t sysfs sys /sys
  mkdir -p /dev/pts /dev/shm /out
  mount -t devpts -o mode=620,gid=5 devpts /dev/pts
  mount -t tmpfs -o mode=1777 tmpfs /dev/shm
  mount -t tmpfs -o mode=1777 tmpfs /tmp
  mount -t tmpfs -o mode=755 tmpfs /run
  mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
  mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
  hostname -F /etc/hostname
  ip link set lo up
  sysctl -q -w kernel.perf_event_paranoid=-1 kernel.kptr_restrict=0
  # What is built in, or not there at all, is no error. virtio_mmio finds the devices of the others.
  for module in virtio_mmio virtio_console virtio_blk virtio_rng arm_spe_pmu; do
    modprobe -q "$module" 2>/dev/null
  done
  # What busybox's poweroff, halt and reboot ask the first process for.
  trap 'turn_off' USR1 USR2
  trap 'sync; reboot -f' TERM
}

turn_off() {
  sync
  poweroff -f
}

# The device of a port by its name.
port() {
  for entry in /sys/class/virtio-ports/*; do
    if [ "$(cat "$entry/name" 2>/dev/null)" = "org.spevisor.$1" ]; then
      echo "/dev/${entry##*/}"
      return 0
    fi
  done
  return 1
}

# A port's name comes in a message some time after its driver was loaded: five seconds are plenty.
wait_for_port() {
  tries=0
  until port "$1"; do
    [ -e /sys/bus/virtio/drivers/virtio_console ] || return 1
    ls -d /sys/bus/virtio/drivers/virtio_console/virtio* >/dev/null 2>&1 || return 1
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || return 1
    sleep 0.1
  done
}

say() {
  echo "$*" >&3
}

# Runs a command that is quiet unless it fails, and answers for it.
answer() {
  if text=$("$@" 2>&1); then
    say ok
  else
    say error "$(printf '%s' "${text:-$1 failed}" | tr '\n' ' ')"
  fi
}

run() {
  if ! echo "$1" | base64 -d >/run/command 2>/dev/null; then
    echo "run: not base64" >&2
    say exit 126
    return
  fi
  # A port takes one opener at a time: it is opened for each command, and the command does not get the control port.
  if ! (: >"$stdout") 2>/dev/null || ! (: >"$stderr") 2>/dev/null; then
    say error "a process that an earlier command left in the background still has its output open"
    return
  fi
  setsid sh /run/command <"$stdin" >"$stdout" 2>"$stderr" 3>&-
  say exit $?
}

# Caches nothing but what programs map: a mapping that is shared and written to needs pages (cache=mmap), and read(2) and
# write(2) go to the host all the same, from Linux 6.4 on only with directio; older ones pass over it.
V9FS=trans=virtio,version=9p2000.L,msize=262144,cache=mmap,directio

share() {
  [ $# -ge 2 ] || { echo "share: needs TAG BASE64"; return 1; }
  for module in 9pnet_virtio 9p; do modprobe -q "$module" 2>/dev/null; done
  if ! grep -qw 9p /proc/filesystems; then
    echo "share: this kernel has no 9p"
    return 1
  fi
  at=$(echo "$2" | base64 -d)
  mkdir -p "$at" && mount -t 9p -o "$V9FS${3:+,$3}" "$1" "$at"
}

load_module() {
  # What is built in counts as loaded.
  modprobe "$1"
}

set_date() {
  date -s "@$1" >/dev/null
}

set_size() {
  [ $# -eq 2 ] || { echo "size: needs ROWS COLS"; return 1; }
  stty -F "$CONSOLE" rows "$1" cols "$2"
}

# Not with "&": a shell without job control has such commands ignore SIGINT (POSIX, 2.11), and their children would, too.
# The second setsid leads a group already, so it goes on in a child, and this returns at once.
console() {
  cd /root
  setsid setsid sh -c 'setsid cttyhack sh; sync; poweroff -f' <"$CONSOLE" >"$CONSOLE" 2>&1 3>&-
}

# Answers with an archive: arguments are tar's.
archive() {
  tar -c -f - "$@" >&3 2>/dev/null
  status=$?
  # An archive that was not begun, or not ended, gets the end that the other side waits for.
  [ "$status" -eq 0 ] || head -c 1024 /dev/zero >&3
  say exit "$status"
}

# Files are as large as they say only where they are no /proc's.
symbols() {
  mkdir -p /run/symbols
  cat /proc/kallsyms >/run/symbols/kallsyms
  ln -sf / /run/symbols/symfs
  echo "$1" | base64 -d >/run/symbols/list
  set -- kallsyms
  while read -r path; do
    [ ! -f "$path" ] || set -- "$@" "symfs$path"
  done </run/symbols/list
  archive -h -C /run/symbols "$@"
  rm -rf /run/symbols
}

# A process of its own: the first one waits while a command runs.
collector() {
  exec 3<>"$1"
  while :; do
    if ! read -r verb words <&3; then
      sleep 0.1
      continue
    fi
    case "$verb" in
      collect) archive -C /out . ;;
      symbols) symbols "$words" ;;
    esac
  done
}

serve() {
  if out=$(wait_for_port out); then collector "$out" & fi
  exec 3<>"$1"
  stdin=$(wait_for_port stdin) stdout=$(wait_for_port stdout) stderr=$(wait_for_port stderr)
  say ready
  while :; do
    # A read ends without a line while nobody is on the host's side.
    if ! read -r verb words <&3; then
      sleep 0.1
      continue
    fi
    case "$verb" in
      run) run "$words" ;;
      # Unquoted where words are to be split.
      share) answer share $words ;;
      module) answer load_module "$words" ;;
      date) answer set_date "$words" ;;
      size) answer set_size $words ;;
      console) console ;;
      poweroff) turn_off ;;
      *) say error "unknown: $verb" ;;
    esac
  done
}

prepare
if control=$(wait_for_port control); then
  serve "$control"
else
  echo "spevisor: no control port on Linux $(uname -r)"
  echo "Here is a shell; the machine is off when it ends."
  console
  while :; do
    sleep 2147483647 &
    wait
  done
fi
