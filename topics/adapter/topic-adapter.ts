import type { Topic } from "#shared/api/topic.ts";
import type { TypeLibrary } from "../types/type-library.ts";

/*
 * What is wanted of a DDS library. Everything else here speaks to this, so that it can be tried without a library.
 */

/** A topic in DDS, with a reader, a writer or both, as the Topic's direction says. */
export interface TopicAdapter {
  /** Samples that have come, in order, each as JSON without a line break. None: there is nothing now. */
  take(): readonly string[];
  /** Resolves when there may be samples, and at the latest after half a second. Not called while it is pending. */
  wait(signal: AbortSignal): Promise<void>;
  /**
   * Writes a sample. Never waits: `Full` says that readers have to catch up first.
   * @param json one JSON object.
   * @throws InvalidSampleError when it does not fit the type.
   */
  publish(json: string): "Written" | "Full";
  /** Endpoints in DDS with which reader and writer exchange data. */
  matched(): { readonly publishers: number; readonly subscribers: number };
  /** Leaves DDS. Nothing else is called after this. */
  close(): Promise<void>;
}

export interface TopicSettings {
  /** `namespace/name` of the Topic. */
  readonly key: string;
  readonly spec: Topic["spec"];
  readonly types: TypeLibrary;
}

export interface TopicLibrary {
  /** @throws TopicOpenError. */
  open(settings: TopicSettings): TopicAdapter;
}

/** Loads the library when the first Topic needs it. @throws LibraryUnavailableError. */
export type LoadLibrary = () => Promise<TopicLibrary>;

/** There is no library, it cannot run here, or its licence does not allow it: the message says which, and what to do. */
export class LibraryUnavailableError extends Error {
  override readonly name = "LibraryUnavailableError";
}

/** The library does not take the settings. */
export class TopicOpenError extends Error {
  override readonly name = "TopicOpenError";
}

/** A line is no sample of the type: told to the client that sent it. */
export class InvalidSampleError extends Error {
  override readonly name = "InvalidSampleError";
}
