import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type CallOptions, type GrpcAddress, GrpcChannel, GrpcFormatError } from "./grpc-channel.ts";

/** What of a generated method this channel needs. */
export interface Method<I extends DescMessage, O extends DescMessage> {
  readonly name: string;
  readonly parent: { readonly typeName: string };
  readonly input: I;
  readonly output: O;
}

/** A gRPC channel that speaks in generated messages. */
export class TypedChannel {
  readonly #channel: GrpcChannel;

  constructor(address: GrpcAddress) {
    this.#channel = new GrpcChannel(address);
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    input: MessageInitShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>> {
    return decode(method, await this.#channel.unary(pathOf(method), encode(method, input), options));
  }

  /** Ends when the server ends; throws the signal's reason when aborted. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    input: MessageInitShape<I>,
    options: CallOptions,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    for await (const bytes of this.#channel.stream(pathOf(method), encode(method, input), options)) {
      yield decode(method, bytes);
    }
  }

  close(): void {
    this.#channel.close();
  }
}

function pathOf({ parent, name }: { readonly parent: { readonly typeName: string }; readonly name: string }): string {
  return `/${parent.typeName}/${name}`;
}

function encode<I extends DescMessage>(method: { readonly input: I }, input: MessageInitShape<I>): Uint8Array {
  return toBinary(method.input, create(method.input, input));
}

function decode<I extends DescMessage, O extends DescMessage>(
  method: Method<I, O>,
  bytes: Uint8Array,
): MessageShape<O> {
  try {
    return fromBinary(method.output, bytes);
  } catch (error) {
    throw new GrpcFormatError(`${method.name}: undecodable message`, { cause: error });
  }
}
