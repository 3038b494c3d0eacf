/** Everything this package throws. */
export abstract class RtpsError extends Error {}

/** The bytes are not what RTPS says they must be: drop them. `offset` counts from the start of what was handed in. */
export class RtpsParseError extends RtpsError {
  override name = "RtpsParseError";
  readonly offset: number;
  readonly reason: string;

  constructor(offset: number, reason: string) {
    super(`at octet ${offset}: ${reason}`);
    this.offset = offset;
    this.reason = reason;
  }
}

/** A value that was to be written does not fit its field: correct it. Nothing was written. */
export class RtpsBuildError extends RtpsError {
  override name = "RtpsBuildError";
  readonly field: string;
  readonly problem: string;

  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`);
    this.field = field;
    this.problem = problem;
  }
}
