import { expect, test } from "bun:test";
import { answerFault } from "../../src/registry/answer.ts";

test.each([
  ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", "Amazon ECR does not do so by itself"],
  ["public.ecr.aws", "Amazon ECR does not do so by itself"],
  ["harbor.corp:5000", "create the repository, or its project, in `harbor.corp:5000`, or give the account"],
])(
  "a push to %s into a repository that is not there says what to do in that registry",
  async (host, hint) => {
    const answer = Response.json({ errors: [{ code: "NAME_UNKNOWN", message: "no" }] }, { status: 404 });
    const url = new URL(`https://${host}/v2/a/b/blobs/uploads/`);
    expect((await answerFault(answer, { method: "POST", url })).hint).toContain(hint);
  },
);
