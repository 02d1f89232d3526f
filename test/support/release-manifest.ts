import { toYaml } from "./bundles-author.ts";

export interface ReleaseFields {
  version: string;
  bundleManifestUrl: string;
  [field: string]: unknown;
}

/** A Release manifest as EKS Anywhere publishes it: `latestVersion` is that of the last entry. */
export function releaseManifest(releases: readonly ReleaseFields[], latestVersion?: string): string {
  return toYaml({
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Release",
    metadata: { creationTimestamp: null, name: "eks-anywhere" },
    spec: {
      latestVersion: latestVersion ?? releases.at(-1)?.version ?? "",
      releases: releases.map((fields, index) => ({
        date: "2026-08-18 20:23:07.563921551 +0000 UTC",
        eksABinary: { linux: { arch: ["amd64"], uri: "https://assets.example/eksctl-anywhere.tar.gz" } },
        gitCommit: "aebd9a062",
        gitTag: fields.version,
        number: index + 1,
        ...fields,
      })),
    },
    status: {},
  });
}
