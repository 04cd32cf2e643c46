// An arm64 Image without a kernel in it: QEMU and spevisor start it alike, at EL1 with the MMU off.
    .section .text.start
    .global _start
_start:
    b       1f
    .long   0
    .quad   0                       // text_offset
    .quad   image_end - _start      // image_size
    .quad   0xa                     // little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0
1:  adrp    x0, stack_top
    add     x0, x0, :lo12:stack_top
    mov     sp, x0
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    mov     x0, #(3 << 20)
    msr     cpacr_el1, x0
    isb
    bl      run
    ldr     w0, =0x84000008         // PSCI SYSTEM_OFF
    hvc     #0
2:  b       2b

// Each vector saves what the C code may change, calls `taken(vector, frame)` and returns to where that says.
    .macro  entry number
    .balign 128
    sub     sp, sp, #256
    stp     x0, x1, [sp]
    mov     x0, #\number
    b       common
    .endm

    .balign 2048
    .global vectors
vectors:
    entry   0
    entry   1
    entry   2
    entry   3
    entry   4
    entry   5
    entry   6
    entry   7
    entry   8
    entry   9
    entry   10
    entry   11
    entry   12
    entry   13
    entry   14
    entry   15

common:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x29, x30, [sp, #160]
    mov     x1, sp
    bl      taken
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x29, x30, [sp, #160]
    ldp     x0, x1, [sp]
    add     sp, sp, #256
    eret

    .section .bss
    .balign 16
    .space  32768
stack_top:
