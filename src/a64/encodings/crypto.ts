/** Arm ARM C4.1.96, Cryptographic AES, SHA1 and SHA256, and the polynomial product of 64 bits. */
import { rows } from "../encoding.ts";

export const CRYPTO = rows("Cryptographic", {
  AESE: ["01001110 00 10100 00100 10 Rn:5 Rd:5", { feature: "AES" }],
  AESD: ["01001110 00 10100 00101 10 Rn:5 Rd:5", { feature: "AES" }],
  AESMC: ["01001110 00 10100 00110 10 Rn:5 Rd:5", { feature: "AES" }],
  AESIMC: ["01001110 00 10100 00111 10 Rn:5 Rd:5", { feature: "AES" }],
  SHA1C: ["01011110 00 0 Rm:5 0 000 00 Rn:5 Rd:5", { feature: "SHA1" }],
  SHA1P: ["01011110 00 0 Rm:5 0 001 00 Rn:5 Rd:5", { feature: "SHA1" }],
  SHA1M: ["01011110 00 0 Rm:5 0 010 00 Rn:5 Rd:5", { feature: "SHA1" }],
  SHA1SU0: ["01011110 00 0 Rm:5 0 011 00 Rn:5 Rd:5", { feature: "SHA1" }],
  SHA256H: ["01011110 00 0 Rm:5 0 100 00 Rn:5 Rd:5", { feature: "SHA256" }],
  SHA256H2: ["01011110 00 0 Rm:5 0 101 00 Rn:5 Rd:5", { feature: "SHA256" }],
  SHA256SU1: ["01011110 00 0 Rm:5 0 110 00 Rn:5 Rd:5", { feature: "SHA256" }],
  SHA1H: ["01011110 00 10100 00000 10 Rn:5 Rd:5", { feature: "SHA1" }],
  SHA1SU1: ["01011110 00 10100 00001 10 Rn:5 Rd:5", { feature: "SHA1" }],
  SHA256SU0: ["01011110 00 10100 00010 10 Rn:5 Rd:5", { feature: "SHA256" }],
  PMULL_1Q: ["0 Q 0 01110 11 1 Rm:5 1110 00 Rn:5 Rd:5", { feature: "PMULL" }],
});
