/** The system counter (Arm ARM D12.1). */

/** CNTFRQ_EL0: 62.5 MHz, a tick every 16 ns, as QEMU's virt machine has it. */
export const COUNTER_HZ = 62_500_000;
