import type { Topic } from "#shared/api/topic.ts";
import { pause } from "#shared/process/pause.ts";
import { InvalidSampleError, type TopicAdapter } from "../adapter/topic-adapter.ts";
import { READER, WRITER } from "./connext-document.ts";
import type { Connector, ConnextInput, ConnextModule, ConnextOutput } from "./connext-module.ts";

/** Waiting cannot be interrupted: for so long a Topic's end may be held up. */
const WAIT_MS = 250;
/** With more than two topics: each that waits would take one of the four threads that Node has for files, too. */
const POLL_MS = 10;
/** Connext's parser calls itself for each level, and ends the process where that is too deep. */
const MAX_DEPTH = 32;

const OK = 0;

export interface ConnextAdapterOptions {
  readonly connector: Connector;
  readonly binding: ConnextModule["connectorBinding"];
  readonly direction: Topic["spec"]["direction"];
  readonly type: string;
  /** Whether there are so few topics that each may have a thread to wait in. */
  readonly isAlone: () => boolean;
  readonly onClosed: () => void;
}

/** A topic in RTI Connext, by its Connector. */
export class ConnextAdapter implements TopicAdapter {
  readonly #options: ConnextAdapterOptions;
  readonly #input: ConnextInput | undefined;
  readonly #output: ConnextOutput | undefined;
  #matched = { publishers: 0, subscribers: 0 };

  constructor(options: ConnextAdapterOptions) {
    this.#options = options;
    const { connector, direction } = options;
    this.#input = direction === "Publish" ? undefined : connector.getInput(READER);
    this.#output = direction === "Subscribe" ? undefined : connector.getOutput(WRITER);
  }

  take(): readonly string[] {
    const input = this.#input;
    if (input === undefined) return [];
    const { binding, connector } = this.#options;
    input.take();
    const { samples } = input;
    const taken: string[] = [];
    for (let index = 0; index < samples.length; index += 1) {
      // An instance that is no more has no data.
      if (!samples.get(index).validData) continue;
      const text: (string | null)[] = [null];
      if (binding.RTI_Connector_get_json_sample(connector.native, READER, index + 1, text) !== OK) {
        throw new Error(`a sample cannot be read: ${binding.RTI_Connector_get_last_error_message() ?? "no reason"}`);
      }
      // Line breaks stand between members only: in strings they are escaped.
      taken.push((text[0] ?? "").replaceAll("\n", ""));
    }
    return taken;
  }

  async wait(signal: AbortSignal): Promise<void> {
    const { connector, isAlone } = this.#options;
    if (!isAlone()) return await pause(POLL_MS, signal);
    try {
      await connector.wait(WAIT_MS);
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "TimeoutError") throw error;
    }
  }

  publish(json: string): "Written" | "Full" {
    const { binding, connector, type } = this.#options;
    const output = this.#output;
    if (output === undefined) throw new InvalidSampleError("nothing is published here");
    if (depthOf(json) > MAX_DEPTH) throw new InvalidSampleError(`it is nested deeper than ${MAX_DEPTH}`);
    // A member that is not named has its default, and not what the sample before had.
    output.clearMembers();
    if (binding.RTI_Connector_set_json_instance(connector.native, WRITER, json) !== OK) {
      throw new InvalidSampleError(misfit(binding.RTI_Connector_get_last_error_message() ?? "", type));
    }
    try {
      output.write();
      return "Written";
    } catch (error) {
      if (error instanceof Error && error.name === "TimeoutError") return "Full";
      throw error;
    }
  }

  matched(): { readonly publishers: number; readonly subscribers: number } {
    try {
      this.#matched = {
        publishers: this.#input?.matchedPublications.length ?? 0,
        subscribers: this.#output?.matchedSubscriptions.length ?? 0,
      };
    } catch (error) {
      // Connext cannot tell while one of them goes; the next time it can.
      if (!(error instanceof Error)) throw error;
    }
    return this.#matched;
  }

  async close(): Promise<void> {
    this.#options.onClosed();
    await this.#options.connector.close();
  }
}

/** How deep objects and arrays are nested in valid JSON. */
export function depthOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  let isText = false;
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at];
    if (isText) {
      if (character === "\\") at += 1;
      else if (character === '"') isText = false;
    } else if (character === '"') isText = true;
    else if (character === "{" || character === "[") {
      depth += 1;
      deepest = Math.max(deepest, depth);
    } else if (character === "}" || character === "]") depth -= 1;
  }
  return deepest;
}

/** Why a sample does not fit its type, out of what Connext says. */
export function misfit(said: string, type: string): string {
  const unknown = /Cannot find a member \(name = "([^"]*)"/.exec(said)?.[1];
  if (unknown !== undefined) return `${type} has no member ${JSON.stringify(unknown)}`;
  const member = /!parse json node (\S+)/.exec(said)?.[1];
  if (member !== undefined) return `member ${JSON.stringify(member)} does not fit ${type}`;
  return `it does not fit ${type}`;
}
