/** What every error of this package has: the operation that failed and, in `cause`, what lies beneath. */
export abstract class GobgpError extends Error {
  readonly operation: string;

  constructor(operation: string, message: string, cause?: unknown) {
    super(`${operation}: ${message}`, cause === undefined ? undefined : { cause });
    this.operation = operation;
    this.name = new.target.name;
  }
}

/** Retry: the daemon did not answer (not there, went away, or stayed silent past the deadline). */
export class DaemonUnreachableError extends GobgpError {
  readonly address: string;

  constructor(operation: string, address: string, reason: string, cause?: unknown) {
    super(operation, `gobgpd at ${address} ${reason}`, cause);
    this.address = address;
  }
}

/** Refuse: a value of the caller's own is wrong. Nothing was sent. The value itself is quoted unless it is secret. */
export class InvalidArgumentError extends GobgpError {
  readonly object: string;
  readonly field: string;

  constructor(object: string, field: string, problem: string, cause?: unknown) {
    super(object, `${field}: ${problem}`, cause);
    this.object = object;
    this.field = field;
  }
}

/** Refuse: the daemon understood the request and said no. `reason` is its own text. */
export class RejectedByDaemonError extends GobgpError {
  readonly reason: string;

  constructor(operation: string, object: string, reason: string, cause?: unknown) {
    super(operation, `${object}: gobgpd refused: ${reason}`, cause);
    this.reason = reason;
  }
}

/** Refuse: this version of the daemon cannot do what was asked. */
export class UnsupportedByDaemonError extends GobgpError {
  readonly feature: string;

  constructor(operation: string, feature: string, detail: string, cause?: unknown) {
    super(operation, `${feature} is not supported by this gobgpd: ${detail}`, cause);
    this.feature = feature;
  }
}

/** Refuse, or stop first: BGP runs with other global settings, and starting it again would empty its RIB. */
export class BgpAlreadyRunningError extends GobgpError {
  readonly differences: readonly string[];

  constructor(differences: readonly string[]) {
    super("StartBgp", `BGP is already running with other settings (${differences.join("; ")}); stop it first`);
    this.differences = differences;
  }
}

/** Call `startBgp` first: the daemon is up, its BGP speaker is not (it was restarted, perhaps). */
export class BgpNotStartedError extends GobgpError {
  constructor(operation: string, cause?: unknown) {
    super(operation, "BGP has not been started on this gobgpd", cause);
  }
}

/** Bug: the daemon's answer is not what its interface promises. */
export class ProtocolError extends GobgpError {}
