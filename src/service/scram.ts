// The server's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: it never sees the password, and what it
// keeps is not enough to log in with.
//
//   client-first   n,,n=USER,r=NONCE
//   server-first   r=NONCE+NONCE,s=SALT,i=ITERATIONS
//   client-final   c=biws,r=NONCE+NONCE,p=PROOF
//   server-final   v=SIGNATURE

import { Buffer } from "node:buffer";
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";

const KEY_BYTES = 32;
const NONCE_BYTES = 18;
export const SALT_BYTES = 16;
export const ITERATIONS = 4096;

/** What a server keeps of a password. */
export interface ScramSecret {
  readonly salt: Buffer;
  readonly iterations: number;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** Makes that, once, when the password is set. */
export function scramSecret(
  password: string,
  salt: Buffer = randomBytes(SALT_BYTES),
  iterations: number = ITERATIONS,
): ScramSecret {
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, iterations, KEY_BYTES, "sha256");
  const storedKey = createHash("sha256").update(hmac(salted, "Client Key")).digest();
  return { salt, iterations, storedKey, serverKey: hmac(salted, "Server Key") };
}

/** One exchange. */
export class ScramServer {
  readonly user: string;
  readonly #secret: ScramSecret;
  readonly #bare: string;
  readonly #nonce: string;
  readonly #first: string;

  /** @throws RangeError for what is no client-first-message */
  constructor(clientFirst: Buffer, secretOf: (user: string) => ScramSecret) {
    const message = clientFirst.toString();
    const found = /^n,,(n=([^,]+),r=([!-+\--~]{8,128}))$/.exec(message);
    if (found === null) throw new RangeError("no client-first-message");
    const [, bare = "", user = "", nonce = ""] = found;
    this.#bare = bare;
    this.user = user.replaceAll("=2C", ",").replaceAll("=3D", "=");
    this.#nonce = nonce + randomBytes(NONCE_BYTES).toString("base64");
    this.#secret = secretOf(this.user);
    const { salt, iterations } = this.#secret;
    this.#first = `r=${this.#nonce},s=${salt.toString("base64")},i=${iterations}`;
  }

  get serverFirst(): Buffer {
    return Buffer.from(this.#first);
  }

  /** The server-final-message; undefined when the client does not know the password. */
  finish(clientFinal: Buffer): Buffer | undefined {
    const found = /^(c=biws,r=([^,]+)),p=([A-Za-z0-9+/=]+)$/.exec(clientFinal.toString());
    if (found === null || found[2] !== this.#nonce) return undefined;
    const proof = Buffer.from(found[3] ?? "", "base64");
    if (proof.length !== KEY_BYTES) return undefined;
    const auth = `${this.#bare},${this.#first},${found[1]}`;
    const signature = hmac(this.#secret.storedKey, auth);
    const clientKey = xor(proof, signature);
    const stored = createHash("sha256").update(clientKey).digest();
    if (!timingSafeEqual(stored, this.#secret.storedKey)) return undefined;
    return Buffer.from(`v=${hmac(this.#secret.serverKey, auth).toString("base64")}`);
  }
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac("sha256", key).update(data).digest();
}

function xor(one: Buffer, other: Buffer): Buffer {
  return Buffer.from(one.map((byte, index) => byte ^ (other[index] ?? 0)));
}
