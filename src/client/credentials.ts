// Who a client is: what HELLO says of it, and how it answers a challenge. One `Introduction` for each connection.

import { createPublicKey, KeyObject, sign } from "node:crypto";
import { OptionError } from "../limits.ts";
import { AUTH_METHOD, HELLO_KEY } from "../protocol/codes.ts";
import type { Auth } from "../protocol/connection-frames.ts";
import { type Tlv, tlv } from "../protocol/tlv.ts";
import { ScramClient } from "./scram.ts";

export type Credentials =
  /** A bearer token, or what gives a fresh one for each connection. */
  | { readonly token: string | (() => string | Promise<string>) }
  /** An Ed25519 private key. */
  | { readonly privateKey: KeyObject }
  /** SCRAM-SHA-256: the password is never sent. */
  | { readonly user: string; readonly password: string };

/** @throws OptionError for what is none of these */
export function assertCredentials(given: Credentials | undefined): void {
  if (given === undefined) return;
  const { token, privateKey, user, password } = Object(given);
  const isToken = typeof token === "function" || (typeof token === "string" && token !== "");
  const isKey = privateKey instanceof KeyObject && privateKey.asymmetricKeyType === "ed25519";
  if (isToken || isKey || (typeof user === "string" && typeof password === "string")) return;
  throw new OptionError(
    "auth must be { token }, { privateKey } (Ed25519, a KeyObject), or { user, password }",
  );
}

export interface Introduction {
  /** HELLO's auth TLV, if there is one. */
  readonly tlvs: readonly Tlv[];
  /** Whether requests may be sent before the server has answered. */
  readonly pipelines: boolean;
  /** The answer to a challenge. @throws Error when there is none */
  answer(challenge: Auth): Auth | Promise<Auth>;
  /** Looks at WELCOME; false: the server is not who it should be. */
  accepts(welcome: readonly Tlv[]): boolean;
}

const SIGNED_PREFIX = Buffer.from("SWP/1 Ed25519\0");
const RAW_KEY_BYTES = 32;

/** @param nonce unpredictable text, for SCRAM */
export async function introduce(
  credentials: Credentials | undefined,
  nonce: () => string,
): Promise<Introduction> {
  if (credentials === undefined) return unchallenged([]);
  if ("token" in credentials) {
    const { token } = credentials;
    const text = typeof token === "function" ? await token() : token;
    return unchallenged([authTlv(AUTH_METHOD.TOKEN, Buffer.from(text))]);
  }
  if ("privateKey" in credentials) return withKey(credentials.privateKey);
  return withPassword(new ScramClient(credentials.user, credentials.password, nonce()));
}

function unchallenged(tlvs: readonly Tlv[]): Introduction {
  return {
    tlvs,
    pipelines: true,
    accepts: () => true,
    answer() {
      throw new Error("the server asks for more than these credentials have");
    },
  };
}

function withKey(privateKey: KeyObject): Introduction {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  return {
    tlvs: [authTlv(AUTH_METHOD.ED25519, spki.subarray(spki.length - RAW_KEY_BYTES))],
    pipelines: false,
    accepts: () => true,
    answer({ data }) {
      const signature = sign(null, Buffer.concat([SIGNED_PREFIX, data]), privateKey);
      return { method: AUTH_METHOD.ED25519, step: 2, data: signature };
    },
  };
}

function withPassword(scram: ScramClient): Introduction {
  return {
    tlvs: [authTlv(AUTH_METHOD.SCRAM_SHA_256, Buffer.from(scram.first()))],
    pipelines: false,
    async answer({ data }) {
      const final = await scram.final(data.toString());
      return { method: AUTH_METHOD.SCRAM_SHA_256, step: 2, data: Buffer.from(final) };
    },
    accepts(welcome) {
      const last = tlv(welcome, HELLO_KEY.AUTH);
      return last !== undefined && scram.isServer(Buffer.from(last.subarray(1)).toString());
    },
  };
}

function authTlv(method: number, data: Uint8Array): Tlv {
  return { key: HELLO_KEY.AUTH, value: Buffer.concat([Uint8Array.of(method), data]) };
}
