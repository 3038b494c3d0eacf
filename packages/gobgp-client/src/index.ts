export { type ConnectOptions, GobgpClient } from "./client.ts";
export type { DialectName } from "./dialect.ts";
export {
  BgpAlreadyRunningError,
  BgpNotStartedError,
  DaemonUnreachableError,
  GobgpError,
  InvalidArgumentError,
  ProtocolError,
  RejectedByDaemonError,
  UnsupportedByDaemonError,
} from "./errors.ts";
export type { BgpGlobal, StartBgpOptions } from "./global.ts";
export type { Family } from "./ip.ts";
export type { Origin, Path, PathConfig, PathQuery } from "./path.ts";
export type {
  AdminState,
  Peer,
  PeerBfd,
  PeerConfig,
  PeerFamily,
  PeerFamilyState,
  PeerGracefulRestart,
  PeerSession,
  PeerTimers,
  SessionState,
} from "./peer.ts";
export type { ExportAttributes, PeerPolicies, PeerPolicy, PrefixMatch } from "./policy.ts";
export type { Disconnected, PeerEvent, Route, RouteEvent } from "./watch.ts";
