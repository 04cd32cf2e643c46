// go(entry, spsr, x3): "calls" code at EL0 with ERET; it ends with SVC, whose vector goes to back_from_el0.
extern void go(u64 entry, u64 spsr, u64 x3);
asm(".global go, back_from_el0\n"
    "go: stp x29, x30, [sp, #-96]!\n"
    " stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n stp x23, x24, [sp, #48]\n"
    " stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"
    " msr elr_el1, x0\n msr spsr_el1, x1\n mov x3, x2\n eret\n"
    "back_from_el0:\n"
    " ldp x19, x20, [sp, #16]\n ldp x21, x22, [sp, #32]\n ldp x23, x24, [sp, #48]\n"
    " ldp x25, x26, [sp, #64]\n ldp x27, x28, [sp, #80]\n ldp x29, x30, [sp], #96\n ret\n");
