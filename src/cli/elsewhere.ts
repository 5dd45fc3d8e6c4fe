// SPDX-License-Identifier: MIT
// Stands for what the script for `verify` does not hold.
import { NeedsMore } from "./rooms.js";

throw new NeedsMore("app");
