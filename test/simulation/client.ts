// A client of a simulation: a scripted peer, and a ledger of what it has written.

import { Buffer } from "node:buffer";
import type { Random } from "../../src/driver/random.ts";
import type { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import { SimulatedPeer } from "../../src/driver/simulated-peer.ts";
import type { SimulatedSocket } from "../../src/driver/simulated-socket.ts";
import { type Address, formatAddress } from "../../src/sys/address.ts";
import type { PeerPlan } from "./plan.ts";
import { LONGEST_MESSAGE, letters, type Wire } from "./wire.ts";

const LONGEST_PAUSE_MS = 3000;
/** By then a peer that is told of bytes has read them, also a slow one. */
const READ_MS = 51;

/** A peer that says when it has read. */
class TellingPeer extends SimulatedPeer {
  readonly #network: SimulatedNetwork;
  readonly #hasRead: () => void;
  #socketHere: SimulatedSocket | undefined;
  #looking = false;
  #isPaused = false;

  constructor(network: SimulatedNetwork, hasRead: () => void) {
    super(network);
    this.#network = network;
    this.#hasRead = hasRead;
  }

  override begin(result: number, socket: SimulatedSocket | undefined): void {
    super.begin(result, socket);
    this.#socketHere = socket;
    const owner = socket?.owner;
    if (socket === undefined || owner === undefined) return;
    socket.owner = {
      readable: () => {
        owner.readable();
        this.#lookLater();
      },
      writable: () => owner.writable(),
    };
    this.#lookLater();
  }

  override pause(): void {
    this.#isPaused = true;
    super.pause();
  }

  override resume(): void {
    this.#isPaused = false;
    super.resume();
    this.#lookLater();
  }

  #lookLater(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.#network.clock.after(READ_MS, () => {
      this.#looking = false;
      this.#hasRead();
      if (!this.isOver && !this.#isPaused && this.#socketHere?.isReadable) this.#lookLater();
    });
  }
}

export class Client {
  readonly plan: PeerPlan;
  /** What it would say, message by message, and as bytes. */
  readonly contents: readonly Buffer[];
  readonly stream: Buffer;
  /** Where `stream` stops to be whole messages. */
  readonly wholeLength: number;
  /** Bytes of `stream` that it has handed to its socket. */
  writtenLength = 0;
  /** It has ended or closed its side. */
  hasEnded = false;
  /** It has closed both without waiting: whatever is under way to it may be lost. */
  hasLeft = false;
  /** How long it could have been let in and was not. */
  waitedMs = 0;
  #peer: SimulatedPeer | undefined;
  #scripted = true;

  constructor(network: SimulatedNetwork, random: Random, plan: PeerPlan, wire: Wire, port: number) {
    this.plan = plan;
    const count = plan.kind === "silent" ? 0 : plan.messages;
    this.contents = Array.from({ length: count }, () =>
      letters(
        random,
        Math.min(random.between(wire.framed ? 0 : 1, plan.longest + 1), LONGEST_MESSAGE),
      ),
    );
    const whole = Buffer.concat(this.contents.map((content) => wire.frame(content)));
    this.wholeLength = whole.length;
    this.stream = Buffer.concat([whole, this.#appendix(random, wire)]);
    const address: Address = { family: "ipv4", host: plan.host, port };
    network.clock.after(plan.dialsAtMs, () => {
      const peer = new TellingPeer(network, () => this.#follow());
      const isWanted = () => peer.error === 0;
      network.connect(address, isWanted, (result, socket) => peer.begin(result, socket));
      this.#peer = peer;
      this.#script(random, peer);
    });
  }

  /** By which a server's connection is known to be this client's. */
  get address(): string | undefined {
    const address = this.#peer?.localAddress;
    return address && formatAddress(address);
  }

  get isConnected(): boolean {
    return this.#peer?.connected === true && !this.#peer.isOver;
  }

  /** It has read the end of the server's stream. */
  get sawEnd(): boolean {
    return this.#peer?.ended === true;
  }

  get error(): number {
    return this.#peer?.error ?? 0;
  }

  get receivedLength(): number {
    return this.#peer?.receivedLength ?? 0;
  }

  received(): Buffer {
    return this.#peer?.received() ?? Buffer.alloc(0);
  }

  /** It does nothing more by itself. */
  get isOver(): boolean {
    return this.#peer !== undefined && !this.#scripted && this.#peer.isOver;
  }

  /** It keeps to the rules and stays to the end. */
  get isClean(): boolean {
    const { kind } = this.plan;
    return (kind === "polite" || kind === "slow" || kind === "waiting") && !this.hasLeft;
  }

  /** All that it would say is said. */
  get isComplete(): boolean {
    return this.writtenLength === this.stream.length;
  }

  /** Gives up whatever it was doing; what was not done yet is lost. */
  leave(isDone: boolean): void {
    this.#scripted = false;
    this.hasLeft ||= !isDone;
    this.hasEnded = true;
    this.#peer?.close();
  }

  /** Who has read the server's end ends too. */
  #follow(): void {
    if (!this.sawEnd || this.hasEnded || this.plan.kind === "silent") return;
    this.#scripted = false;
    this.#end();
  }

  #appendix(random: Random, wire: Wire): Buffer {
    if (this.plan.kind === "malformed" && wire.garbage !== undefined) return wire.garbage;
    if (this.plan.kind !== "truncating" || !wire.framed) return Buffer.alloc(0);
    const frame = wire.frame(letters(random, 40));
    return frame.subarray(0, random.between(1, frame.length - 1));
  }

  #script(random: Random, peer: SimulatedPeer): void {
    if (this.plan.kind === "deaf") peer.pause();
    let at = 0;
    let time = 0;
    while (at < this.stream.length) {
      const bytewise = this.plan.bytewise && at < this.wholeLength;
      const most = bytewise ? 1 : random.pick([20, this.stream.length]);
      const piece = this.stream.subarray(at, at + random.between(1, most));
      at += piece.length;
      time += random.fraction() * this.plan.gapMs;
      peer.after(time, () => this.#write(peer, piece));
    }
    if (this.plan.kind === "slow") this.#dawdle(random, peer, time);
    this.#scheduleEnd(random, peer, time);
  }

  #scheduleEnd(random: Random, peer: SimulatedPeer, time: number): void {
    const { kind } = this.plan;
    if (kind === "resetting" || kind === "leaving") {
      peer.after(random.fraction() * (time + 50), () => {
        if (kind === "resetting") peer.reset();
        this.leave(false);
      });
    } else if (kind === "silent" || kind === "waiting" || kind === "deaf") {
      peer.after(time, () => {
        this.#scripted = false;
      });
    } else {
      peer.after(time + random.fraction() * this.plan.gapMs, () => {
        this.#scripted = false;
        this.#end();
      });
    }
  }

  #write(peer: SimulatedPeer, piece: Buffer): void {
    if (this.hasEnded || peer.error > 0) return;
    peer.write(piece);
    this.writtenLength += piece.length;
  }

  #end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#peer?.end();
  }

  #dawdle(random: Random, peer: SimulatedPeer, time: number): void {
    let from = 0;
    for (let pause = 0; pause < 3; pause++) {
      from += random.fraction() * (time + 20);
      peer.after(from, () => peer.pause());
      from += random.fraction() * LONGEST_PAUSE_MS;
      peer.after(from, () => peer.resume());
    }
  }
}
