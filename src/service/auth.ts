// Who a client is: the methods that a service may ask for, each as a short exchange of bytes.

import { AUTH_METHOD } from "../protocol/codes.ts";
import type { Address } from "../sys/address.ts";

/** What is known of a client before it has said who it is. */
export interface Stranger {
  readonly remoteAddress: Address | undefined;
  /** The descriptor of its socket, for what the kernel knows of it; −1 where there is none. */
  readonly descriptor: number;
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
  start(stranger: Stranger): AuthExchange;
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
  return {
    method: AUTH_METHOD.TOKEN,
    name: "token",
    start: (stranger) => ({
      step(data) {
        const found = check(data.toString(), stranger);
        return found instanceof Promise ? found.then(verdict) : verdict(found);
      },
    }),
  };
}

function verdict(identity: unknown): AuthStep {
  return identity === undefined || identity === null || identity === false
    ? undefined
    : { identity };
}
