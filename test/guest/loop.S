// A program of known length: "loop N" executes 4 N + 5 D + 10 instructions at EL0, where N has D decimal digits, and
// ends with status 0.
.global _start
.global busy_loop

_start:
    ldr x1, [sp, #16]        // argv[1]
    mov x0, #0
    mov x3, #10
digit:
    ldrb w2, [x1], #1
    cbz w2, counted
    sub w2, w2, #'0'
    madd x0, x0, x3, x2
    b digit
counted:
    bl busy_loop
    mov x0, #0
    mov x8, #93              // exit
    svc #0

.type busy_loop, %function
busy_loop:
    add x4, x4, x0
    eor x5, x5, x4
    subs x0, x0, #1
    b.ne busy_loop
    ret
.size busy_loop, . - busy_loop
