// A capture file as a network card would have written it: TCP segments over IPv4, without a card and without rights.
//
// The format is libpcap's classic one (draft-ietf-opsawg-pcap), link type 228: raw IPv4. Checksums are left 0: readers take
// that as "computed by the card".

import { Buffer } from "node:buffer";

const MAGIC = 0xa1b2c3d4;
const LINKTYPE_IPV4 = 228;
const IP_BYTES = 20;
const TCP_BYTES = 20;
const PSH_ACK = 0x18;
const TCP = 6;

export class Capture {
  readonly #records: Buffer[] = [fileHeader()];
  readonly #sent = new Map<string, number>();
  #packets = 0;

  /** One segment of the connection that `from` and `to` name, both ports of 127.0.0.1. */
  segment(from: number, to: number, payload: Uint8Array): void {
    const key = `${from} ${to}`;
    const seq = this.#sent.get(key) ?? 1;
    this.#sent.set(key, seq + payload.length);
    const ack = this.#sent.get(`${to} ${from}`) ?? 1;
    const packet = Buffer.alloc(IP_BYTES + TCP_BYTES + payload.length);
    packet.writeUInt8(0x45, 0);
    packet.writeUInt16BE(packet.length, 2);
    packet.writeUInt8(64, 8);
    packet.writeUInt8(TCP, 9);
    packet.writeUInt32BE(0x7f000001, 12);
    packet.writeUInt32BE(0x7f000001, 16);
    packet.writeUInt16BE(from, IP_BYTES);
    packet.writeUInt16BE(to, IP_BYTES + 2);
    packet.writeUInt32BE(seq, IP_BYTES + 4);
    packet.writeUInt32BE(ack, IP_BYTES + 8);
    packet.writeUInt8((TCP_BYTES / 4) << 4, IP_BYTES + 12);
    packet.writeUInt8(PSH_ACK, IP_BYTES + 13);
    packet.writeUInt16BE(65_535, IP_BYTES + 14);
    packet.set(payload, IP_BYTES + TCP_BYTES);
    this.#records.push(recordHeader(this.#packets++, packet.length), packet);
  }

  bytes(): Buffer {
    return Buffer.concat(this.#records);
  }
}

function fileHeader(): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(LINKTYPE_IPV4, 20);
  return header;
}

function recordHeader(n: number, length: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(n, 0);
  header.writeUInt32LE(length, 8);
  header.writeUInt32LE(length, 12);
  return header;
}
