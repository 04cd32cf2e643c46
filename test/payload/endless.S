// Kernels that never end, each in a way of its own: by -DKIND=n.
    .section .text.start
    .global _start
_start:
    b       1f
    .long   0
    .quad   0, image_end - _start, 0xa, 0, 0, 0
    .ascii  "ARM\x64"
    .long   0
1:  adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    isb
    mov     x1, #0x09000000         // the serial console
    mov     x27, #0                 // where nothing is: no device's access has two registers
#if KIND == 0                       // a vector that cannot be fetched
    msr     vbar_el1, xzr
    isb
    brk     #0
#elif KIND == 1                     // a handler that mends nothing
    ldp     x0, x2, [x27]
#elif KIND == 2                     // a handler that faults itself
    mov     x28, #1
    ldp     x0, x2, [x27]
#elif KIND == 3
2:  wfe
    b       2b
#elif KIND == 4
2:  mov     w0, #0x84000000         // PSCI_VERSION
    hvc     #0
    b       2b
#elif KIND == 5
2:  ldr     w0, [x1, #0x18]
    b       2b
#elif KIND == 6                     // code that writes itself anew
    adr     x2, 3f
    ldr     w3, [x2]
2:  str     w3, [x2]
    dc      cvau, x2
    dsb     ish
    ic      ivau, x2
    dsb     ish
    isb
3:  nop
    b       2b
#elif KIND == 7                     // all of it forgotten, for ever
2:  ic      iallu
    isb
    b       2b
#elif KIND == 8
2:  tlbi    vmalle1is
    dsb     ish
    b       2b
#elif KIND == 9
2:  mrs     x0, pmccntr_el0
    b       2b
#elif KIND == 10
2:  wfi
    b       2b
#elif KIND == 11
2:  b       2b
#endif
    .balign 2048
vectors:
    .rept 16
    .balign 128
    cbz     x28, 4f
    ldp     x0, x2, [x27]
4:  eret
    .endr
