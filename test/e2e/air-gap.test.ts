import { afterAll, beforeAll } from "bun:test";
import { carried } from "./air-gap-carried.ts";
import { created } from "./air-gap-created.ts";
import { deprecated } from "./air-gap-deprecated.ts";
import { disturbed } from "./air-gap-disturbed.ts";
import { apart, flow } from "./air-gap-flow.ts";
import { AirGapStage } from "./air-gap-stage.ts";

const stage = new AirGapStage();

beforeAll(() => stage.set(), 60_000);
afterAll(() => stage.strike(), 60_000);

apart(stage);
flow(stage);
created(stage);
carried(stage);
deprecated(stage);
disturbed(stage);
