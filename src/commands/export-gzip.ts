import { GzipFile } from "../archive/gzip-file.ts";
import { type PipeJob, type PipeRun, writeInOrder } from "./export-pipe.ts";

/** Writes the archive gzipped into a file, which is there when it is whole. Nothing of it can be gone on with. */
export async function writeGzip(path: string, run: PipeRun, job: PipeJob): Promise<void> {
  const file = new GzipFile(path);
  try {
    await writeInOrder(run, job, {
      writeNext: (bytes) => file.write(bytes),
      loss: "what is compressed cannot be gone on with",
      hint: "run the same command again; under a name that does not end in `.tar.gz`, what could be fetched would be kept",
    });
    await file.commit();
  } finally {
    await file.close();
  }
}
