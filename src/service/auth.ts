// Who a client is: the methods that a service may ask for, each as a short exchange of bytes.
//
// Whatever a hook throws refuses. What a method answers is the identity that handlers and `authorize` see.

import { createHmac, randomBytes } from "node:crypto";
import { OptionError } from "../limits.ts";
import { AUTH_METHOD } from "../protocol/codes.ts";
import type { Address } from "../sys/address.ts";
import type { PeerCredentials } from "../sys/socket-calls.ts";
import { NONCE_BYTES, verifyNonce } from "./key-proof.ts";
import { ITERATIONS, SALT_BYTES, type ScramSecret, ScramServer, scramSecret } from "./scram.ts";

/** What is known of a client before it has said who it is. */
export interface Stranger {
  readonly remoteAddress: Address | undefined;
  /** Of the process at the other end of a Unix socket; undefined on TCP and where the driver has no descriptors. */
  readonly credentials: PeerCredentials | undefined;
}

/** One step: who it is, or what it must answer, or (undefined) that it is nobody we let in. */
export type AuthStep =
  | { readonly identity: unknown; readonly last?: Uint8Array }
  | { readonly challenge: Uint8Array }
  | undefined;

/** The exchange with one client; `step` gets what it sends, HELLO's data first. */
export interface AuthExchange {
  step(data: Buffer): AuthStep | Promise<AuthStep>;
}

export interface AuthMethod {
  /** One of AUTH_METHOD. */
  readonly method: number;
  readonly name: string;
  /** @param secret random bytes of this server's, the same in all its threads and after its reloads; others after a restart */
  start(stranger: Stranger, secret: () => Promise<Buffer>): AuthExchange;
}

/** Everybody may come in, and is nobody in particular: beside other methods, or to give guests an identity. */
export function none(identity?: unknown): AuthMethod {
  return {
    method: AUTH_METHOD.NONE,
    name: "none",
    start: () => ({ step: () => ({ identity }) }),
  };
}

/**
 * A token in HELLO, and later a fresh one in AUTH. `check` answers with an identity, or undefined; compare secrets with
 * `crypto.timingSafeEqual`.
 */
export function token(
  check: (token: string, stranger: Stranger) => unknown | Promise<unknown>,
): AuthMethod {
  assertHook("token", check);
  return {
    method: AUTH_METHOD.TOKEN,
    name: "token",
    start: (stranger) => ({ step: (data) => verdict(check(data.toString(), stranger)) }),
  };
}

/** The client has the private key of a public one (Ed25519, 32 raw bytes) that `find` knows. */
export function publicKey(
  find: (key: Buffer, stranger: Stranger) => unknown | Promise<unknown>,
): AuthMethod {
  assertHook("publicKey", find);
  return {
    method: AUTH_METHOD.ED25519,
    name: "Ed25519",
    start(stranger) {
      const nonce = randomBytes(NONCE_BYTES);
      let key: Buffer | undefined;
      return {
        step(data) {
          if (key !== undefined) {
            return verifyNonce(key, nonce, data) ? verdict(find(key, stranger)) : undefined;
          }
          key = data;
          return { challenge: nonce };
        },
      };
    },
  };
}

/** What `scram` asks for: the secret of a user (see scramSecret) and who that is. */
export interface ScramUser {
  readonly secret: ScramSecret;
  readonly identity: unknown;
}

/** What strangers are shown of users who do not exist must look like what is shown of those who do. */
export interface ScramOptions {
  /** That all secrets were made with. Default 4096, as in scramSecret. */
  readonly iterations?: number;
  /**
   * Bytes that are kept like the secrets themselves. Without them who compares what is shown before and after a restart, or by two
   * servers, sees which users exist. Default: the server's own, drawn at its start.
   */
  readonly seed?: Uint8Array;
}

/**
 * SCRAM-SHA-256: a name and a password that is never sent. Whether a user exists cannot be seen from outside, as far as
 * ScramOptions say.
 */
export function scram(
  find: (user: string) => ScramUser | undefined,
  { iterations = ITERATIONS, seed }: ScramOptions = {},
): AuthMethod {
  assertHook("scram", find);
  // A user who does not exist has a salt too, and always the same.
  const nobody = (user: string, key: Uint8Array): ScramUser => {
    const salt = createHmac("sha256", key).update(user).digest().subarray(0, SALT_BYTES);
    return { secret: { ...IMPOSSIBLE, salt, iterations }, identity: undefined };
  };
  return {
    method: AUTH_METHOD.SCRAM_SHA_256,
    name: "SCRAM-SHA-256",
    start(_stranger, secret) {
      let exchange: ScramServer | undefined;
      let user: ScramUser | undefined;
      return {
        async step(data) {
          if (exchange !== undefined) {
            const last = exchange.finish(data);
            return last === undefined ? undefined : { identity: user?.identity, last };
          }
          // Awaited for every user alike.
          const key = seed ?? (await secret());
          exchange = new ScramServer(data, (name) => {
            user = find(name) ?? nobody(name, key);
            return user.secret;
          });
          return { challenge: exchange.serverFirst };
        },
      };
    },
  };
}

/** Keys that no password gives. */
const IMPOSSIBLE: ScramSecret = scramSecret(randomBytes(32).toString("hex"));

/** The process at the other end of a Unix socket, as the kernel knows it. */
export function peerCredentials(
  check: (credentials: PeerCredentials) => unknown | Promise<unknown>,
): AuthMethod {
  assertHook("peerCredentials", check);
  return {
    method: AUTH_METHOD.EXTERNAL,
    name: "external",
    start: ({ credentials }) => ({
      step: () => (credentials === undefined ? undefined : verdict(check(credentials))),
    }),
  };
}

function verdict(identity: unknown): AuthStep | Promise<AuthStep> {
  if (identity instanceof Promise) return identity.then(verdict);
  const refused = identity === undefined || identity === null || identity === false;
  return refused ? undefined : { identity };
}

/** @throws OptionError */
function assertHook(method: string, hook: unknown): void {
  if (typeof hook === "function") return;
  throw new OptionError(`${method} needs a function that says who it is, not ${String(hook)}`);
}
