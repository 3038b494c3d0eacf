/*
 * The part of the npm package rticonnextdds-connector that is used here. It has no types of its own, and it is not
 * there when Causeway is compiled: what was loaded is looked at before it is used.
 */

export interface ConnextInput {
  readonly samples: { readonly length: number; get(index: number): { readonly validData: boolean } };
  readonly matchedPublications: readonly unknown[];
  take(): void;
}

export interface ConnextOutput {
  readonly matchedSubscriptions: readonly unknown[];
  clearMembers(): void;
  write(): void;
}

export interface Connector {
  readonly native: unknown;
  getInput(name: string): ConnextInput;
  getOutput(name: string): ConnextOutput;
  /** Rejects with a TimeoutError when nothing has come. */
  wait(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Functions of the C library: samples as text keep integers of 64 bits, which JavaScript's numbers do not. */
interface ConnextBinding {
  /** @param index 1-based. @param text gets the JSON. @returns 0 for success. */
  RTI_Connector_get_json_sample(connector: unknown, reader: string, index: number, text: (string | null)[]): number;
  RTI_Connector_set_json_instance(connector: unknown, writer: string, text: string): number;
  RTI_Connector_get_last_error_message(): string | null;
}

export interface ConnextModule {
  readonly Connector: new (participant: string, file: string) => Connector;
  readonly connectorBinding: ConnextBinding;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return (typeof value === "object" || typeof value === "function") && value !== null;
}

export function isConnextModule(value: unknown): value is ConnextModule {
  if (!isRecord(value) || typeof value.Connector !== "function" || !isRecord(value.connectorBinding)) return false;
  const binding = value.connectorBinding;
  return [
    "RTI_Connector_get_json_sample",
    "RTI_Connector_set_json_instance",
    "RTI_Connector_get_last_error_message",
  ].every((name) => typeof binding[name] === "function");
}
