// The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: proves that it knows the password, and
// checks that the server does, without either saying it.

import { createHash, createHmac, pbkdf2, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

const HASH_BYTES = 32;
const derive = promisify(pbkdf2);
/** A server that asks for more would keep this side computing (RFC 7677 asks for at least 4096). */
const LEAST_ITERATIONS = 4096;
const MOST_ITERATIONS = 1_000_000;
/** "n,,": no channel binding, no other identity. */
const GS2_HEADER = "n,,";
const GS2_BASE64 = "biws";

export class ScramError extends Error {
  override readonly name = "ScramError";
}

export class ScramClient {
  readonly #password: string;
  readonly #firstBare: string;
  readonly #nonce: string;
  #serverSignature: Buffer | undefined;

  /** @param nonce printable, without commas; unpredictable */
  constructor(user: string, password: string, nonce: string) {
    this.#password = password;
    this.#nonce = nonce;
    const name = user.normalize("NFKC").replaceAll("=", "=3D").replaceAll(",", "=2C");
    this.#firstBare = `n=${name},r=${nonce}`;
  }

  /** client-first-message */
  first(): string {
    return GS2_HEADER + this.#firstBare;
  }

  /** client-final-message for the server's first. @throws ScramError for one that cannot be answered */
  async final(serverFirst: string): Promise<string> {
    const match = /^r=([^,]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})/.exec(serverFirst);
    if (match === null) throw new ScramError("the server's first message is malformed");
    const [, nonce = "", salt = "", count = ""] = match;
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw new ScramError("the server's nonce does not begin with ours");
    }
    const iterations = Number(count);
    if (iterations < LEAST_ITERATIONS || iterations > MOST_ITERATIONS) {
      throw new ScramError(`${iterations} iterations: ${LEAST_ITERATIONS} to ${MOST_ITERATIONS}`);
    }
    const password = this.#password.normalize("NFKC");
    const salted = await derive(
      password,
      Buffer.from(salt, "base64"),
      iterations,
      HASH_BYTES,
      "sha256",
    );
    const withoutProof = `c=${GS2_BASE64},r=${nonce}`;
    const message = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const clientKey = hmac(salted, "Client Key");
    const storedKey = createHash("sha256").update(clientKey).digest();
    const proof = xor(clientKey, hmac(storedKey, message));
    this.#serverSignature = hmac(hmac(salted, "Server Key"), message);
    return `${withoutProof},p=${proof.toString("base64")}`;
  }

  /** Whether the server's final message shows that it knows the password too. */
  isServer(serverFinal: string): boolean {
    const told = /^v=([A-Za-z0-9+/=]+)/.exec(serverFinal)?.[1];
    const expected = this.#serverSignature;
    if (told === undefined || expected === undefined) return false;
    const signature = Buffer.from(told, "base64");
    return signature.length === expected.length && timingSafeEqual(signature, expected);
  }
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac("sha256", key).update(data).digest();
}

function xor(one: Buffer, other: Buffer): Buffer {
  return Buffer.from(one.map((byte, n) => byte ^ (other[n] as number)));
}
