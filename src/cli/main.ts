#!/usr/bin/env node
// SPDX-License-Identifier: MIT
import module from "node:module";

// Since Node 22.8; half the time of a short run is compiling what did not change since the last.
(module as { enableCompileCache?: () => unknown }).enableCompileCache?.();

const { main } = await import("./command-line.js");
process.exitCode = await main(process.argv);
