/* The open sockets of every process, as far as the processes tell. */

const CENSUS_AFTER = 30_000;
const ANSWER_WITHIN = 3_000;

/**
 * Counts by process. A process that dies says nothing, so that one not heard of for a while is asked for, and dropped if
 * it does not answer. Everybody hears the answers: of many pages only the first to be worried asks.
 */
export class Presence {
  #seen = new Map();
  #askedAt = null;
  #patience = CENSUS_AFTER * (1 + Math.random() / 2);

  constructor({ ask, onChange }) {
    this.ask = ask;
    this.onChange = onChange;
  }

  /** Ask every process to say how many sockets it has. */
  census() {
    this.#askedAt = performance.now();
    this.ask();
  }

  /** Take in what a process said. */
  heard(process, connections) {
    if (connections > 0) this.#seen.set(process, { connections, at: performance.now() });
    else this.#seen.delete(process);
    this.onChange(this.processes);
  }

  /** Ask for or drop the processes that have been quiet for long; to be called every few seconds. */
  tick() {
    const now = performance.now();
    if (this.#askedAt !== null) {
      if (now - this.#askedAt < ANSWER_WITHIN) return;
      for (const [process, { at }] of this.#seen) if (at < this.#askedAt) this.#seen.delete(process);
      this.#askedAt = null;
      this.onChange(this.processes);
    } else if ([...this.#seen.values()].some(({ at }) => now - at > this.#patience)) {
      this.census();
    }
  }

  /** What is known, sorted by process. */
  get processes() {
    const processes = [...this.#seen].map(([process, { connections }]) => ({ process, connections }));
    return processes.sort((a, b) => (a.process < b.process ? -1 : 1));
  }
}
