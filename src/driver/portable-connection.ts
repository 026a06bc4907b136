// One socket of node:net as a connection of the portable driver. Its callbacks are made once; a packet costs no closure.
//
// Invariant: a send that was taken gets one SENT, before CLOSED, whatever node:net calls back or forgets.

import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Address } from "../sys/address.ts";
import { EALREADY, ECANCELED, ENOTCONN, EPIPE } from "../sys/errno.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import type { Handle } from "./driver.ts";
import { CLOSED, CONNECTED, type Owner, RECEIVED, SENT } from "./portable-events.ts";
import { brokenBy, errnoOfError, internetAddress } from "./portable-words.ts";

// What has become of a send.
const NO_SEND = 0;
const SEND_UNDER_WAY = 1;
const SEND_OVER = 2;

export class PortableConnection {
  /** −1 until it is accepted. */
  handle: Handle = -1;
  closing = false;
  resetOnClose = false;
  readonly #owner: Owner;
  readonly #socket: Socket;
  /** Of the Unix listener it was accepted from. */
  readonly #localPath: string | undefined;
  #remotePath: string | undefined;
  #connecting: boolean;
  #wanted = false;
  /** The end or an error has been queued. */
  #ended = false;
  /** The errno of a stream that broke while no one read. */
  #failure = 0;
  #send = NO_SEND;
  #sendLength = 0;
  /** The socket's own 'close' has come. */
  #gone = false;

  constructor(owner: Owner, socket: Socket, connecting: boolean, localPath?: string) {
    this.#owner = owner;
    this.#socket = socket;
    this.#connecting = connecting;
    this.#localPath = localPath;
    if (localPath !== undefined) this.#remotePath = "";
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  connect(address: Address, options: SocketOptions): void {
    this.#socket.once("connect", this.#onConnect);
    this.configure(options);
    if (address.family === "unix") {
      this.#remotePath = address.path;
      this.#socket.connect({ path: address.path });
      return;
    }
    this.#socket.connect({ host: address.host, port: address.port, autoSelectFamily: false });
  }

  send(bytes: Buffer): number {
    if (this.#connecting) return -ENOTCONN;
    if (this.#send !== NO_SEND) return -EALREADY;
    this.#sendLength = bytes.length;
    if (this.#socket.writable) {
      this.#send = SEND_UNDER_WAY;
      this.#socket.write(bytes, this.#onWritten);
    } else {
      this.#send = SEND_OVER;
      this.#owner.postFromVerb(SENT, this, -EPIPE);
    }
    return 0;
  }

  /** The `sent` is being delivered: another one may start. */
  sendSettled(): void {
    this.#send = NO_SEND;
  }

  pause(): void {
    this.#wanted = false;
    this.#socket.pause();
  }

  resume(): void {
    if (this.#connecting) return;
    this.#wanted = true;
    if (this.#failure > 0 && !this.#ended) {
      this.#ended = true;
      this.#owner.postFromVerb(RECEIVED, this, -this.#failure);
    } else {
      this.#socket.resume();
    }
  }

  shutdown(): number {
    if (this.#connecting) return -ENOTCONN;
    if (this.#send !== NO_SEND) return -EALREADY;
    this.#socket.end();
    return 0;
  }

  close(reset: boolean): void {
    this.closing = true;
    if (this.#gone) this.#owner.postFromVerb(CLOSED, this, 0);
    else if (reset || this.resetOnClose) this.#reset();
    else this.#socket.destroy();
  }

  configure(options: SocketOptions): void {
    const { noDelay, keepAlive, resetOnClose } = options;
    if (noDelay !== undefined) this.#socket.setNoDelay(noDelay);
    if (keepAlive === false) this.#socket.setKeepAlive(false);
    else if (keepAlive) this.#socket.setKeepAlive(true, keepAlive.idleSeconds * 1000);
    if (resetOnClose !== undefined) this.resetOnClose = resetOnClose;
  }

  localAddress(): Address | number {
    if (this.#remotePath !== undefined) return { family: "unix", path: this.#localPath ?? "" };
    const { localFamily, localAddress, localPort } = this.#socket;
    return internetAddress(localFamily, localAddress, localPort);
  }

  remoteAddress(): Address | number {
    if (this.#remotePath !== undefined) return { family: "unix", path: this.#remotePath };
    const { remoteFamily, remoteAddress, remotePort } = this.#socket;
    return internetAddress(remoteFamily, remoteAddress, remotePort);
  }

  /** libuv refuses a reset while a shutdown is under way, and would then never close: the reset waits for it. */
  #reset(): void {
    const socket = this.#socket;
    const tcp = this.#remotePath === undefined && !this.#connecting;
    if (!tcp || typeof socket.resetAndDestroy !== "function") socket.destroy();
    else if (socket.writableEnded && !socket.writableFinished && !socket.destroyed) {
      socket.once("finish", () => socket.destroyed || socket.resetAndDestroy());
    } else socket.resetAndDestroy();
  }

  readonly #onConnect = (): void => {
    this.#connecting = false;
    this.#owner.post(CONNECTED, this, 0);
  };

  readonly #onData = (bytes: Buffer): void => {
    if (!this.closing) this.#owner.post(RECEIVED, this, bytes.length, bytes);
  };

  readonly #onEnd = (): void => {
    if (this.closing || this.#ended) return;
    this.#ended = true;
    this.#owner.post(RECEIVED, this, 0);
  };

  readonly #onError = (error: Error): void => {
    if (this.closing) return;
    this.#failure = brokenBy(error);
    if (this.#connecting) {
      this.#owner.post(CONNECTED, this, -this.#failure);
    } else if (this.#wanted && !this.#ended) {
      this.#ended = true;
      this.#owner.post(RECEIVED, this, -this.#failure);
    }
  };

  readonly #onWritten = (error?: Error | null): void => {
    if (this.#send !== SEND_UNDER_WAY) return;
    this.#send = SEND_OVER;
    this.#owner.post(SENT, this, this.#sendResult(error));
  };

  /** node:net calls back without an error when it destroyed the socket in the middle of a write. */
  #sendResult(error: Error | null | undefined): number {
    if (this.closing) return -ECANCELED;
    const failure = error ?? this.#socket.errored;
    return failure ? -errnoOfError(failure) : this.#sendLength;
  }

  readonly #onClose = (): void => {
    this.#gone = true;
    if (this.handle < 0) return;
    if (this.#send === SEND_UNDER_WAY) {
      this.#send = SEND_OVER;
      this.#owner.post(SENT, this, this.closing ? -ECANCELED : -(this.#failure || EPIPE));
    }
    if (this.closing) this.#owner.post(CLOSED, this, 0);
  };
}
