import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "bun:test";
import { readdir } from "node:fs/promises";
import { testWith } from "../support/needs.ts";
import type { TestRegistry } from "../support/registry.ts";
import { EksctlStage } from "./eksctl-stage.ts";

const TOOLS = ["openssl", "bash", "tar", "gzip", "sha256sum"];
const test = testWith(...TOOLS);
const hasTools = TOOLS.every((tool) => Bun.which(tool) !== null);

let stage: EksctlStage;

beforeAll(async () => {
  if (hasTools) stage = await EksctlStage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage?.strike());

function mirrorOf({ host }: TestRegistry): Record<string, string> {
  return { ...stage.internet.environment, REGISTRY_MIRROR_URL: host };
}

function deprecations(stderr: string): string[] {
  return stderr.split("\n").filter((line) => line.includes("deprecated"));
}

describe("a script that people have", () => {
  test("the steps of the manual, as they are printed there", async () => {
    const target = await stage.startTarget();
    const script = `set -euo pipefail
eksctl anywhere download artifacts
tar -xvf eks-anywhere-downloads.tar.gz
eksctl anywhere download images -o images.tar
eksctl anywhere import images -i images.tar -r \${REGISTRY_MIRROR_URL} \\
   --bundles ./eks-anywhere-downloads/bundle-release.yaml
`;
    const { status, stderr } = await stage.run(script, mirrorOf(target));
    expect(status, stderr).toBe(0);
    expect(await stage.missingIn(target)).toEqual([]);
    expect(deprecations(stderr)).toEqual([
      'Command "download artifacts" is deprecated, use `eksa-airgap export artifacts` instead',
      'Command "download images" is deprecated, use `eksa-airgap export artifacts` instead',
      'Command "import images" is deprecated, use `eksa-airgap import artifacts` instead',
    ]);
    const left = ["eks-anywhere-downloads", "eks-anywhere-downloads.tar.gz", "images.tar", "script.sh"];
    expect((await readdir(stage.work)).sort()).toEqual(left);
  });

  test("a job that looks before it downloads, and counts what it got", async () => {
    const script = `set -euo pipefail
found=$(eksctl anywhere download artifacts --dry-run | grep -c "^Found artifact: https://")
[ ! -e eks-anywhere-downloads ] && [ ! -e eks-anywhere-downloads.tar.gz ]
eksctl anywhere download artifacts -r 2>download.log
listed=$(tar -tzf eks-anywhere-downloads.tar.gz | grep "^eks-anywhere-downloads/1\\." | grep -c "\\.yaml$")
unpacked=$(find eks-anywhere-downloads/1.* -type f | wc -l)
[ "$found" -eq "$listed" ] && [ "$found" -eq "$unpacked" ]
for path in $(grep -oE "eks-anywhere-downloads/[^ ]+" eks-anywhere-downloads/bundle-release.yaml); do
  test -s "$path"
done
images=$(eksctl anywhere list images --bundles-override eks-anywhere-downloads/bundle-release.yaml)
pinned=$(grep -c "^public.ecr.aws/.*@sha256:" <<< "$images")
[ "$pinned" -eq "$(wc -l <<< "$images")" ]
echo "$found manifests, $pinned images"
`;
    const { status, stdout, stderr } = await stage.run(script);
    expect(status, stderr).toBe(0);
    expect(stdout).toBe("58 manifests, 91 images\n");
  });

  test("one half on a connected machine, the other where there is no way out", async () => {
    const connected = `set -euo pipefail
mkdir -p transfer
eksctl anywhere download artifacts --download-dir eks-anywhere-downloads >/dev/null 2>&1
tar -xzf eks-anywhere-downloads.tar.gz
eksctl anywhere download images --output=transfer/images.tar.gz \\
  --bundles-override eks-anywhere-downloads/bundle-release.yaml 2>&1 | tee transfer/download.log
mv eks-anywhere-downloads.tar.gz transfer/
rm -rf eks-anywhere-downloads
(cd transfer && sha256sum *.tar.gz > SHA256SUMS)
`;
    const disconnected = `set -euo pipefail
cd transfer
sha256sum --quiet -c SHA256SUMS
gzip -t images.tar.gz
tar -tzf images.tar.gz > contents.txt
grep -qx index.json contents.txt
tar -xzf eks-anywhere-downloads.tar.gz
eksctl anywhere import images --input images.tar.gz --registry "$REGISTRY_MIRROR_URL/eksa/mirror" \\
  --bundles eks-anywhere-downloads/bundle-release.yaml --insecure > config.yaml
grep -q "namespace: eksa/mirror" config.yaml
`;
    const first = await stage.run(connected);
    expect(first.status, first.stderr).toBe(0);
    const login = { username: "robot", password: "c0rrect-horse" };
    const target = await stage.startSecureTarget({ auth: { scheme: "basic", ...login } });
    const second = await stage.run(disconnected, {
      REGISTRY_MIRROR_URL: target.host,
      REGISTRY_USERNAME: login.username,
      REGISTRY_PASSWORD: login.password,
    });
    expect(second.status, second.stderr).toBe(0);
    expect(await stage.missingIn(target, "eksa/mirror/")).toEqual([]);
  });

  test("the oldest way: from the Internet into the cluster's mirror", async () => {
    const target = await stage.startSecureTarget();
    const [endpoint, port] = target.host.split(":");
    const script = `set -euo pipefail
export REGISTRY_USERNAME=admin REGISTRY_PASSWORD=admin
cat > cluster.yaml <<EOF
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: mgmt
spec:
  kubernetesVersion: "1.31"
  workerNodeGroupConfigurations:
  - name: md-0
    kubernetesVersion: "1.30"
  registryMirrorConfiguration:
    endpoint: ${endpoint}
    port: "${port}"
EOF
if ! output=$(eksctl anywhere import-images -f cluster.yaml 2>errors.log); then
  cat errors.log >&2
  exit 1
fi
grep -c deprecated errors.log
`;
    const { status, stdout, stderr } = await stage.run(script);
    expect(status, stderr).toBe(0);
    expect(stdout).toBe("1\n");
    expect(await stage.missingIn(target)).toEqual([]);
    // Images and charts, and nothing else.
    expect(await target.store.repositories()).not.toContain("eks-anywhere/bundles");
  });

  test("one that runs every night, checks for failures, and compares with the night before", async () => {
    const target = await stage.startTarget();
    const script = `set -euo pipefail
DIR=build/eks-anywhere-downloads
mkdir -p build
for night in 1 2; do
  eksctl anywhere download artifacts -d "$DIR" -f cluster.yaml
  sha256sum "$DIR.tar.gz" >> sums
  eksctl anywhere download images -o build/images.tar -v 0
  sha256sum build/images.tar >> image-sums
done
[ "$(uniq sums | wc -l)" -eq 1 ]
[ "$(uniq image-sums | wc -l)" -eq 1 ]
tar -xf "$DIR.tar.gz"
if eksctl anywhere import images -i build/images.tar -r "$REGISTRY_MIRROR_URL" >log 2>&1; then
  echo "no bundles, and no failure"
  exit 1
fi
grep -q 'required flag(s) "bundles" not set' log
eksctl anywhere import images -i build/images.tar -r "$REGISTRY_MIRROR_URL" -b "$DIR/bundle-release.yaml" || exit 1
trap 'rm -rf build' EXIT
`;
    const { status, stderr } = await stage.run(script, mirrorOf(target));
    expect(status, stderr).toBe(0);
    expect(await stage.missingIn(target)).toEqual([]);
    expect(stderr).toContain("Flag --filename has been deprecated, it has no effect\n");
  });
});
