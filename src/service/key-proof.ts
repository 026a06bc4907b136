// Ed25519: a client shows that it has the private key of its public one, by signing what the server has just thought of.

import { Buffer } from "node:buffer";
import { createPublicKey, verify } from "node:crypto";

const KEY_BYTES = 32;
export const NONCE_BYTES = 32;
const PREFIX = "SWP/1 Ed25519\0";
/** In front of the raw key in a SubjectPublicKeyInfo (RFC 8410). */
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

/** Whether it is one by the owner of this (raw) public key. */
export function verifyNonce(key: Uint8Array, nonce: Uint8Array, signature: Uint8Array): boolean {
  if (key.length !== KEY_BYTES || signature.length !== 64) return false;
  const spki = Buffer.concat([SPKI, key]);
  const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
  return verify(null, signedBytes(nonce), publicKey, signature);
}

function signedBytes(nonce: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(PREFIX), nonce]);
}
