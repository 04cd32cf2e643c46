// Entry at EL2 with the MMU off, as QEMU's virt machine starts an ELF kernel with virtualization=on.
    .section .text.start
    .global _start
_start:
    ldr     x0, =stack_top
    mov     sp, x0
    adr     x0, vectors
    msr     vbar_el2, x0
    isb
    msr     pan, #1                 // AT S1E1RP and S1E1WP look at it
    bl      run
1:  b       1b

    // A synchronous exception at EL2 with SP_EL2 is an AT instruction that met an external abort on its walk:
    // leave the syndrome for run(), skip the instruction. Anything else stays in its vector until QEMU is stopped.
    .balign 2048
vectors:
    .rept 4
    b       .
    .balign 128
    .endr
    mrs     x16, esr_el2
    adr     x17, syndrome
    str     x16, [x17]
    mrs     x16, elr_el2
    add     x16, x16, #4
    msr     elr_el2, x16
    eret
    .balign 128
    .rept 11
    b       .
    .balign 128
    .endr

    .global syndrome
syndrome:
    .quad   0

    .section .bss
    .balign 16
    .space  16384
stack_top:
