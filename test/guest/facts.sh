#!/bin/busybox sh
# The first process of a comparison with another machine: it prints what the machine looks like from inside, each fact in
# a section of its own, and turns it off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox --install -s
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec >/dev/ttyAMA0 2>&1
# Nothing of the kernel's comes between.
dmesg -n 1
for module in virtio_mmio virtio_pci arm_spe_pmu; do modprobe -q "$module" 2>/dev/null; done

section() {
  echo "@@ $1"
}

section kernel; uname -rvm
section cpuinfo; cat /proc/cpuinfo
section interrupts; awk 'NR > 1 { $1 = ""; for (i = 2; $i ~ /^[0-9]+$/; i++) $i = ""; print }' /proc/interrupts
section iomem; sed 's/^\( *\)[0-9a-f]*-[0-9a-f]* : /\1/' /proc/iomem
section clocks; cat /sys/devices/system/clocksource/clocksource0/available_clocksource
section cpus; cat /sys/devices/system/cpu/possible /sys/devices/system/cpu/online
section vulnerabilities; grep . /sys/devices/system/cpu/vulnerabilities/*
section registers; grep . /sys/devices/system/cpu/cpu0/regs/identification/*
section pmu; ls -1 /sys/bus/event_source/devices; grep . /sys/bus/event_source/devices/armv8_pmuv3*/events/*
section platform; ls -1 /sys/bus/platform/devices /sys/bus/amba/devices
section tree; find /proc/device-tree/ -type f
section dmesg; dmesg
section end
poweroff -f
