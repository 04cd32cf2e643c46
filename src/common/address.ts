/**
 * Addresses and page numbers, each branded with the space it lives in. Brands cost nothing at run time.
 *
 * A VA needs all 64 bits and is a bigint at the edges (registers); IPAs and PAs have at most 52 bits and are
 * exact as numbers. Page numbers (address / 4096, whatever the guest's granule) are the currency of mmu/, host/
 * and kvm/: numbers, but wider than 32 bits, so never use `|`, `>>` or `<<` on them.
 */
import { ofPage, pageOfValue } from "./words.ts";

declare const space: unique symbol;

type In<T, S extends string> = T & { readonly [space]: S };

/** A virtual address: 64 bits, unsigned. */
export type Va = In<bigint, "va">;
/** An intermediate physical address: what stage 1 puts out and stage 2 takes in. */
export type Ipa = In<number, "ipa">;
/** A physical address of the host machine. */
export type Pa = In<number, "pa">;
/** A VA's page number: VA[63:12], unsigned, below 2^52. */
export type Vpn = In<number, "vpn">;
/** An IPA's page number (KVM's gfn). */
export type Ipn = In<number, "ipn">;
/** A PA's page number (Linux's pfn). */
export type Pfn = In<number, "pfn">;

/** The page that page numbers count in, and the host's base page: 4 KiB. */
export const PAGE_BYTES = 4096;

const VA_MASK = (1n << 64n) - 1n;

/** Brands a 64-bit value as a VA; higher bits are dropped, as a register would. */
export const va = (value: bigint): Va => (value & VA_MASK) as Va;
export const ipa = (value: number): Ipa => value as Ipa;
export const pa = (value: number): Pa => value as Pa;
export const vpn = (value: number): Vpn => value as Vpn;
export const ipn = (value: number): Ipn => value as Ipn;
export const pfn = (value: number): Pfn => value as Pfn;

/** VA[63:12] as a number. */
export const vpnOf = (address: bigint): Vpn => pageOfValue(address) as Vpn;
/** The first VA of a page. */
export const vaOf = (page: Vpn): Va => ofPage(page, 0) as Va;
export const ipnOf = (address: Ipa): Ipn => Math.floor(address / PAGE_BYTES) as Ipn;
export const ipaOf = (page: Ipn): Ipa => (page * PAGE_BYTES) as Ipa;
export const pfnOf = (address: Pa): Pfn => Math.floor(address / PAGE_BYTES) as Pfn;
export const paOf = (page: Pfn): Pa => (page * PAGE_BYTES) as Pa;

/** An address as people write it: 0x with lower-case digits. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** How many 4 KiB pages hold `bytes`. */
export const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES);
