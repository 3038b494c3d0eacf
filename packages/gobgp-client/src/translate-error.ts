import {
  BgpNotStartedError,
  DaemonUnreachableError,
  GobgpError,
  ProtocolError,
  RejectedByDaemonError,
  UnsupportedByDaemonError,
} from "./errors.ts";
import { GrpcStatusError, GrpcTransportError } from "./grpc-channel.ts";

/** gRPC status codes by name: https://grpc.io/docs/guides/status-codes/ */
export const grpcCode = {
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
} as const;

/** The channel's errors as the classes callers act on. */
export function translateError(operation: string, object: string, address: string, error: unknown): Error {
  if (error instanceof GobgpError) return error;
  if (error instanceof GrpcTransportError) return new DaemonUnreachableError(operation, address, error.message, error);
  if (error === undefined) return new DaemonUnreachableError(operation, address, "ended the stream");
  if (!(error instanceof GrpcStatusError)) {
    return new ProtocolError(operation, error instanceof Error ? error.message : String(error), error);
  }
  switch (error.code) {
    case grpcCode.cancelled:
    case grpcCode.deadlineExceeded:
    case grpcCode.unavailable:
      return new DaemonUnreachableError(operation, address, `answered: ${error.message}`, error);
    case grpcCode.unimplemented:
      return new UnsupportedByDaemonError(operation, operation, error.message, error);
    case grpcCode.internal:
    case grpcCode.dataLoss:
      return new ProtocolError(operation, error.message, error);
  }
  // Both versions say so in these words, with the code "unknown" that every plain Go error gets.
  if (error.message.includes("bgp server hasn't started yet")) return new BgpNotStartedError(operation, error);
  return new RejectedByDaemonError(operation, object, error.message, error);
}
