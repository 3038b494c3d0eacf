import { LeaderElection, type LeaderElectionOptions, type Leadership } from "#shared/process/leader-election.ts";
import type { RunningProcess } from "#shared/process/process.ts";
import { LedStore } from "./led-store.ts";
import { type ControllerOptions, type RunningController, runController } from "./run-controller.ts";

export interface CandidateOptions
  extends ControllerOptions,
    Pick<LeaderElectionOptions, "lock" | "identity" | "elapsedMs"> {
  readonly times?: LeaderElectionOptions["times"];
}

/** The lead is another's: the process ends, with whatever it had under way, and is started anew as one that waits. */
class LeadLostError extends Error {
  override readonly name = "LeadLostError";
}

/** A controller of several replicas: waits for its turn, then does its work until it is ended or loses the lead. */
export function runCandidate(options: CandidateOptions): RunningProcess {
  const { lock, identity, log, elapsedMs, times, signal } = options;
  const election = new LeaderElection({ lock, identity, log, elapsedMs, ...(times === undefined ? {} : { times }) });
  const state: { controller?: RunningController } = {};

  async function run(): Promise<void> {
    const leadership = await election.campaign(signal);
    if (leadership === undefined) return;
    const ends = AbortSignal.any([signal, leadership.lost]);
    const lost = new Promise<never>((_, reject) => {
      const fail = (): void => reject(new LeadLostError(`the lead of ${lock.name} is lost`));
      leadership.lost.addEventListener("abort", fail, { once: true });
    });
    await Promise.race([work(leadership, ends), lost]);
  }

  async function work(leadership: Leadership, ends: AbortSignal): Promise<void> {
    try {
      const store = new LedStore(options.store, leadership);
      state.controller = await runController({ ...options, store, signal: ends });
      await state.controller.done;
    } catch (error) {
      // Ended before all objects had been read.
      if (!ends.aborted) throw error;
    } finally {
      // The last write has ended: whoever follows finds nothing under way.
      await leadership.release();
    }
  }

  return {
    // One that waits is as ready as it can be.
    ready: () => state.controller === undefined || state.controller.ready(),
    status: () => ({ identity, leader: election.leader, ...state.controller?.snapshot() }),
    done: run(),
  };
}
