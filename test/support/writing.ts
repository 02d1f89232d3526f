import { type Layout, layOut } from "../../src/archive/layout.ts";
import { ArchiveSink } from "../../src/archive/sink.ts";
import { type Work, Workplace } from "../../src/archive/workplace.ts";
import type { Plan } from "../../src/oci/plan.ts";

/** An archive while it is written, as the export command has it. */
export class Writing {
  readonly sink: ArchiveSink;
  readonly layout: Layout;
  /** What an earlier run left. */
  readonly isResumed: boolean;
  readonly #workplace: Workplace;
  readonly #work: Work;
  readonly #splitSize: number | undefined;

  constructor(path: string, plan: Plan, splitSize?: number) {
    this.layout = layOut(plan);
    this.#splitSize = splitSize;
    this.#workplace = new Workplace(path);
    const { unfinished, output } = this.#workplace;
    this.isResumed = unfinished !== undefined;
    this.#work = unfinished
      ? this.#workplace.resume(unfinished, this.layout)
      : this.#workplace.begin({ command: {}, notes: {}, plan, cut: { splitSize } }, this.layout);
    const kept = unfinished?.kept ?? new Map();
    this.sink = new ArchiveSink({ output, layout: this.layout, work: this.#work, kept });
  }

  static async begin(path: string, plan: Plan, splitSize?: number): Promise<Writing> {
    const writing = new Writing(path, plan, splitSize);
    await writing.sink.begin();
    return writing;
  }

  async commit(): Promise<void> {
    await this.sink.finish();
    await this.sink.flush();
    await this.#workplace.commit(this.#work, this.layout, { splitSize: this.#splitSize });
  }

  /** Ends the work as a run does that is stopped: what there is stays. */
  async leave(): Promise<void> {
    await this.sink.flush();
    this.release();
  }

  /** Ends the work as a run does that is killed. */
  release(): void {
    this.#work.close();
    this.#workplace.release();
  }
}
