// Prints where it was loaded, X0, the word that X0 points to, and the word at the start of memory unless it is the
// loader's own: what a program can tell of who has loaded it.
    .global _start
    .section .text.start
_start:
    mov     x19, x0
    adr     x0, _start
    bl      print
    mov     x0, x19
    bl      print
    mov     x0, #0
    cbz     x19, 1f
    ldr     w0, [x19]
1:  bl      print
    mov     x20, #0x40000000
    ldr     w0, [x20]
    cbz     x19, 2f
    mov     x0, #0
2:  bl      print
    ldr     w0, counter             // .data, and then .bss
    bl      print
    adr     x0, zeros
    ldr     x0, [x0]
    bl      print
    ldr     w0, =0x84000008         // PSCI SYSTEM_OFF
    hvc     #0
3:  b       3b

// X0 as 16 hexadecimal digits and a line feed.
print:
    mov     x9, #0x09000000
    mov     x10, #60
4:  lsr     x11, x0, x10
    and     x11, x11, #15
    cmp     x11, #10
    add     x12, x11, #'0'
    add     x13, x11, #('a' - 10)
    csel    x11, x12, x13, lo
    strb    w11, [x9]
    subs    x10, x10, #4
    b.pl    4b
    mov     w11, #'\n'
    strb    w11, [x9]
    ret
    .balign 8
    .ltorg
counter:
    .word   0x12345678
    .balign 8
    .section .bss
    .balign 8
zeros:
    .space  64
