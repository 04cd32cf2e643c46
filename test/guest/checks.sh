# What Debian's guest must be able to do with its own programs; each check is a function in a shell of its own, and says
# "NAME ok" or "NAME failed" after what it has printed. Arguments: the checks to run.
cd "$(mktemp -d)" || exit 1

# A tree of 60 files whose content is known: the numbers up to the file's own.
tree() {
  for i in $(seq 1 60); do
    mkdir -p "tree/$((i % 7))/$((i % 3))"
    seq 1 $((i * 50)) >"tree/$((i % 7))/$((i % 3))/file$i"
  done
}

checksums() {
  tree
  find tree -type f | sort | xargs sha256sum >sums
  [ "$(wc -l <sums)" -eq 60 ] && sha256sum -c -s sums
  # The same bytes by another way, and the known answer of an empty input (FIPS 180-4).
  [ "$(seq 1 50 | sha256sum)" = "$(sha256sum <tree/1/1/file1)" ] &&
    [ "$(sha256sum </dev/null)" = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -" ] &&
    echo 1 >>tree/2/2/file2 && ! sha256sum -c -s sums
}

compression() {
  tree
  cat $(find tree -type f | sort) >whole
  for program in gzip bzip2; do
    $program -c <whole >whole.packed && [ "$(wc -c <whole.packed)" -lt "$(wc -c <whole)" ] &&
      $program -dc <whole.packed | cmp - whole || return 1
  done
  # Another byte in the middle, and gzip notices.
  gzip -c <whole >damaged
  printf '\377' | dd of=damaged bs=1 seek=2000 conv=notrunc 2>/dev/null
  ! gzip -t damaged 2>/dev/null
}

archives() {
  tree
  chmod 750 tree/1/1/file1 && ln -s file1 tree/1/1/link
  tar cf tree.tar tree && mkdir copy && tar xf tree.tar -C copy &&
    [ "$(cd tree && find . | sort)" = "$(cd copy/tree && find . | sort)" ] &&
    diff -r tree copy/tree &&
    [ "$(stat -c %a copy/tree/1/1/file1)" = 750 ] && [ "$(readlink copy/tree/1/1/link)" = file1 ]
}

sorting() {
  seq 1 20000 | awk '{ print ($1 * 7919) % 20011 }' >mixed
  sort -n mixed | uniq >sorted
  [ "$(wc -l <sorted)" -eq 20000 ] && sort -n -c sorted && [ "$(head -n 1 sorted)" = 1 ] &&
    [ "$(sort -rn mixed | tail -n 1)" = 1 ] && [ "$(sort mixed | sort -n | sha256sum)" = "$(sha256sum <sorted)" ]
}

# busybox's awk is built without exp, powers and the like.
awk_numbers() {
  [ "$(awk 'BEGIN { for (i = 1; i <= 100000; i++) s += i; print s }')" = 5000050000 ] &&
    [ "$(awk 'BEGIN { t = 1; for (i = 1; i <= 20; i++) { t /= i; s += t } printf "%.12f", s }')" = 1.718281828459 ] &&
    [ "$(awk 'BEGIN { printf "%d %.0f %.3e %x %.17g", -7 / 2, 65536 * 32768, 1 / 3, 255, 0.1 }')" = \
      "-3 2147483648 3.333e-01 ff 0.10000000000000001" ]
}

finding() {
  tree
  [ "$(find tree -name 'file*' -size +4k | wc -l)" -eq "$(find tree -name 'file*' -exec stat -c %s {} + | awk '$1 > 4096' | wc -l)" ] &&
    [ "$(grep -rlx 2950 tree | sort)" = "$(printf '%s\n' tree/3/2/file59 tree/4/0/file60)" ]
}

# A shell with 200 children, one after the other, and 20 at once.
forking() {
  i=0 sum=0
  while [ $i -lt 200 ]; do
    /bin/busybox sh -c "exit $((i % 100))"
    sum=$((sum + $?)) i=$((i + 1))
  done
  [ $sum -eq 9900 ] || return 1
  for i in $(seq 1 20); do seq 1 200 >"out$i" & done
  wait
  [ "$(cat out* | wc -l)" -eq 4000 ]
}

modules() {
  modprobe overlay && grep -q '^overlay ' /proc/modules && grep -qw overlay /proc/filesystems || return 1
  mkdir lower upper work merged && echo below >lower/file
  mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged && echo above >merged/file &&
    [ "$(cat lower/file upper/file)" = "$(printf 'below\nabove')" ] && umount merged &&
    modprobe -r overlay && ! grep -q '^overlay ' /proc/modules
}

sleeping() {
  before=$(cut -d ' ' -f 1 /proc/uptime)
  sleep 3
  awk -v before="$before" '{ slept = $1 - before; exit !(slept >= 2.99 && slept < 3.2) }' /proc/uptime
}

perf_stat() {
  perf stat -x, -o counts -e cycles,instructions true &&
    awk -F, '/,(cycles|instructions),/ { if ($1 > 50000 && $5 == "100.00") seen++ } END { exit seen != 2 }' counts
}

for check in "$@"; do
  if (mkdir "$check" && cd "$check" && "$check"); then echo "$check ok"; else echo "$check failed"; fi
done
