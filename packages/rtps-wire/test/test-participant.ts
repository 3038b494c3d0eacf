import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import {
  BUILTIN_ENDPOINT,
  buildMessage,
  buildParticipantData,
  discoverySamples,
  ENTITY_ID,
  type GuidPrefix,
  type Header,
  isRtps,
  type Message,
  type ParticipantData,
  parseMessage,
  portsOf,
  type ReadEndpointData,
  type ReadParticipantData,
  readEndpointData,
  readParticipantData,
  SPDP_MULTICAST_IPV4,
  type SubmessageInput,
  sequenceNumberSet,
} from "../src/index.ts";

/**
 * As little of a DDS participant as finds others: it sends what it is told to, answers heartbeats of the SEDP writers, and
 * keeps what it hears, but forgets nobody. For tests; a real one has timers.
 */
export class TestParticipant implements AsyncDisposable {
  readonly header: Header;
  readonly participants = new Map<GuidPrefix, ReadParticipantData>();
  readonly publications: ReadEndpointData[] = [];
  readonly subscriptions: ReadEndpointData[] = [];
  /** What came to its own port. */
  readonly messages: Message[] = [];
  #isClosed = false;
  readonly #address: string;
  readonly #domainId: number;
  readonly #unicast: Socket;
  readonly #multicast: Socket;

  private constructor(guidPrefix: GuidPrefix, address: string, domainId: number, unicast: Socket, multicast: Socket) {
    this.header = { version: { major: 2, minor: 3 }, vendorId: 0xfefe, guidPrefix };
    this.#address = address;
    this.#domainId = domainId;
    this.#unicast = unicast;
    this.#multicast = multicast;
    unicast.on("message", (datagram) => this.#receive(datagram));
    multicast.on("message", (datagram) => this.#receive(datagram));
  }

  static async open(guidPrefix: GuidPrefix, address: string, domainId: number): Promise<TestParticipant> {
    const unicast = createSocket("udp4").bind(0, address);
    const multicast = createSocket({ type: "udp4", reuseAddr: true }).bind(portsOf(domainId).metatrafficMulticast);
    await Promise.all([once(unicast, "listening"), once(multicast, "listening")]);
    unicast.setMulticastInterface(address);
    unicast.setMulticastLoopback(false);
    multicast.addMembership(SPDP_MULTICAST_IPV4, address);
    return new TestParticipant(guidPrefix, address, domainId, unicast, multicast);
  }

  /** What it announces of itself. */
  get data(): ParticipantData {
    const own = { kind: "udpv4", address: this.#address, port: this.#unicast.address().port } as const;
    return {
      guid: { prefix: this.header.guidPrefix, entityId: ENTITY_ID.participant },
      protocolVersion: this.header.version,
      vendorId: this.header.vendorId,
      domainId: this.#domainId,
      leaseDuration: { seconds: 100, fraction: 0 },
      metatrafficUnicast: [own],
      metatrafficMulticast: [],
      defaultUnicast: [own],
      defaultMulticast: [],
      builtinEndpoints:
        BUILTIN_ENDPOINT.spdpWriter |
        BUILTIN_ENDPOINT.spdpReader |
        BUILTIN_ENDPOINT.publicationsWriter |
        BUILTIN_ENDPOINT.publicationsReader |
        BUILTIN_ENDPOINT.subscriptionsReader,
      entityName: "rtps-wire",
      properties: [],
    };
  }

  announcement(data = this.data, { littleEndian = true, writerSn = 1n } = {}): Uint8Array {
    return buildMessage(this.header, [
      {
        kind: "data",
        littleEndian,
        readerId: ENTITY_ID.unknown,
        writerId: ENTITY_ID.spdpWriter,
        writerSn,
        payloadKind: "data",
        payload: buildParticipantData(data, { littleEndian }),
        nonStandardPayload: false,
      },
    ]);
  }

  /** Sends to all participants of the domain. */
  sendToAll(datagram: Uint8Array | readonly Uint8Array[]): void {
    if (this.#isClosed) return;
    this.#unicast.send(datagram, portsOf(this.#domainId).metatrafficMulticast, SPDP_MULTICAST_IPV4);
  }

  /** Sends to all, again and again as participants do, until it is disposed of. */
  announce(datagram: Uint8Array | readonly Uint8Array[] = this.announcement()): Disposable {
    this.sendToAll(datagram);
    const repeated = setInterval(() => this.sendToAll(datagram), 200);
    return { [Symbol.dispose]: () => clearInterval(repeated) };
  }

  /** Sends to a participant that it has heard of. */
  sendTo(prefix: GuidPrefix, submessages: readonly SubmessageInput[]): void {
    const [locator] = this.participants.get(prefix)?.metatrafficUnicast ?? [];
    if (locator?.kind !== "udpv4") throw new Error(`there is no way to ${prefix}`);
    this.#unicast.send(
      buildMessage(this.header, [{ kind: "info-dst", guidPrefix: prefix }, ...submessages]),
      locator.port,
      locator.address,
    );
  }

  async until<Found>(what: string, look: () => Found | undefined | false, timeoutMs = 20_000): Promise<Found> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
      await sleep(5);
    }
  }

  #receive(datagram: Uint8Array): void {
    if (!isRtps(datagram)) return;
    const message = parseMessage(datagram);
    if (message.fault) throw message.fault;
    this.messages.push(message);
    for (const { topic, writer, data } of discoverySamples(message)) {
      if (data.payloadKind !== "data") continue;
      if (topic === "participant") this.participants.set(writer.prefix, readParticipantData(data.payload));
      else if (topic === "publication") this.publications.push(readEndpointData(data.payload));
      else this.subscriptions.push(readEndpointData(data.payload));
    }
    for (const submessage of message.submessages) {
      if (submessage.kind !== "heartbeat") continue;
      const { writerId, firstSn, lastSn, count } = submessage;
      if (!this.participants.has(message.header.guidPrefix)) continue;
      if (writerId !== ENTITY_ID.publicationsWriter && writerId !== ENTITY_ID.subscriptionsWriter) continue;
      const numbers = Array.from({ length: Number(lastSn - firstSn) + 1 }, (_, index) => firstSn + BigInt(index));
      // To where it listens: Fast DDS sends from ports that it does not read.
      this.sendTo(message.header.guidPrefix, [
        {
          kind: "acknack",
          readerId: writerId + 5,
          writerId,
          missing: this.#heard(writerId) ? sequenceNumberSet(lastSn + 1n) : sequenceNumberSet(firstSn, numbers),
          count,
          final: true,
        },
      ]);
    }
  }

  #heard(writerId: number): boolean {
    return (writerId === ENTITY_ID.publicationsWriter ? this.publications : this.subscriptions).length > 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = [once(this.#unicast, "close"), once(this.#multicast, "close")];
    this.#isClosed = true;
    this.#unicast.close();
    this.#multicast.close();
    await Promise.all(closed);
  }
}
