// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type KernelProfile, kernelProfile, kernelReleases } from "../kernel/profile.js";
import { ExitCode } from "./output.js";
import { reportError } from "./report.js";
import { NeedsMore } from "./rooms.js";

const version = (): string =>
  (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0) || text.trim() === "") throw new InvalidArgumentError("expected a number of seconds");
  return value;
}

function logLevel(text: string): number {
  const level = Number(text);
  if (!/^\d+$/.test(text) || level > 7) throw new InvalidArgumentError("expected 0, 1, 2 or 4 (or a sum of them)");
  return level;
}

/** Also takes 8, the fixed buffer. */
function verifierLogLevel(text: string): number {
  return /^(8|9|1[0-5])$/.test(text) ? Number(text) : logLevel(text);
}

function logSize(text: string): number {
  const size = Number(text);
  if (!/^\d+$/.test(text) || size === 0 || size > 0x3fffffff)
    throw new InvalidArgumentError("expected 1 to 1073741823 bytes");
  return size;
}

function kernel(release: string): KernelProfile {
  const profile = kernelProfile(release);
  if (profile === undefined) throw new InvalidArgumentError(`expected one of ${kernelReleases().join(", ")}`);
  return profile;
}

function several(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

function cpuCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 8192) throw new InvalidArgumentError("expected 1 to 8192");
  return count;
}

/** Commands are imported when they are given, so that a script can hold some of them only. */
function commandLine(done: (code: number) => void): Command {
  const program = new Command("bpfsmith")
    .description("Write, verify, build, load and attach BPF programs. No clang, no LLVM, no libbpf.")
    .version(version(), "-V, --version", "print the version")
    .exitOverride()
    .showHelpAfterError("(bpfsmith --help lists the commands)")
    .addHelpText(
      "after",
      "\nExit codes: 0 accepted or done, 1 rejected or bad input, 2 wrong usage, 3 not permitted, 4 not modelled by the verifier.",
    );

  program
    .command("build")
    .description("build an object file from a TypeScript program")
    .argument("<file>", "program (.ts)")
    .option("-o, --output <file>", "object to write (default: the program's name with .o, in this directory)")
    .action(async (file, options) => done(await (await import("./build.js")).build(file, options)));

  program
    .command("asm")
    .description("assemble a text of instructions into an object file")
    .argument("<file>", "text: the kernel's and LLVM's dialect, or mnemonics")
    .option("-o, --output <file>", "object to write (default: the text's name with .o, in this directory)")
    .action(async (file, options) => done(await (await import("./asm.js")).asmCommand(file, options)));

  program
    .command("link")
    .description("link objects into one")
    .argument("<files...>", "objects (.o) or programs (.ts); of definitions that are weak the first one counts")
    .requiredOption("-o, --output <file>", "object to write")
    .action(async (files, options) => done(await (await import("./link.js")).linkCommand(files, options)));

  program
    .command("verify")
    .description("say what the kernel's verifier will say, without loading anything")
    .argument("[file]", "object (.o), program (.ts) or text (.asm, .s, .bpf)")
    .option(
      "--log <level>",
      "print the verifier's log: 1 (path to the error), 2 (every instruction), 4 (statistics), 8 (keep its beginning)",
      verifierLogLevel,
    )
    .option("--log-size <bytes>", "give the log a buffer of this size, as loaders do; needs --log", logSize)
    .option("--prog <name>", "verify this program only; may be repeated", several)
    .option("--set-global <name=value>", "initial value of a global variable; may be repeated", several)
    .option("--json", "one JSON object per program")
    .addOption(
      new Option("--format <format>", "github: also annotations for workflows on GitHub")
        .choices(["text", "github"])
        .default("text")
        .conflicts("json"),
    )
    .option("--records <file>", "answer load records (.jsonl) instead of an object")
    .option("--kernel <release>", `answer for another kernel: ${kernelReleases().join(" or ")}`, kernel)
    .option("--vmlinux <file>", "the kernel's own BTF (default: /sys/kernel/btf/vmlinux, read only when needed)")
    .option("--btf <file>", "relocate CO-RE accesses against the types of this BTF or ELF file, not the kernel's")
    .option(
      "--module-btf <file>",
      "types of a kernel module (raw BTF or .ko) that continue those of --vmlinux, --btf or the kernel; may be repeated",
      several,
    )
    .option("--cpus <n>", "CPUs that the machine may have (default: this machine's)", cpuCount)
    .action(async (file, options, command) => {
      if ((file === undefined) === (options.records === undefined)) {
        command.error("error: give either a file or --records FILE");
      }
      if (options.logSize !== undefined && !options.log) command.error("error: --log-size needs a --log level");
      done(await (await import("./verify.js")).verifyCommand(file, options));
    });

  program
    .command("load")
    .description("load an object's programs into the running kernel")
    .argument("<file>", "object (.o) or program (.ts)")
    .option("--pin <dir>", "pin programs and maps below this bpffs directory; without it they are unloaded at once")
    .option("--record <file>", "write load records with the kernel's answers (.jsonl)")
    .option("--log <level>", "print the kernel's log", logLevel)
    .option("--json", "one JSON object per program")
    .action(async (file, options) => done(await (await import("./load.js")).loadCommand(file, options)));

  program
    .command("run")
    .description("build, verify, load, attach and run a program until Ctrl-C")
    .argument("<file>", "program (.ts), object (.o) or text (.asm, .s, .bpf)")
    .argument("[args...]", "arguments for the program")
    .option("--duration <seconds>", "stop after this time", seconds)
    .option("--json", "one JSON object per event")
    .option("-o, --output <file>", "object to write (default: the program's name with .o, in this directory)")
    .option("--device <interface>", "network interface for XDP programs and socket filters")
    .option("-v, --verbose", "print the verifier's log")
    .action(async (file, args, options) => done(await (await import("./run.js")).runCommand(file, args, options)));

  program
    .command("inspect")
    .description("say what stands in an object: programs, maps, global variables, externs, CO-RE relocations")
    .argument("<file>", "object (.o) or program (.ts)")
    .option("--btf <file>", "try the CO-RE relocations against the types of this BTF or ELF file")
    .option("--json", "one JSON object")
    .action(async (file, options) => done(await (await import("./inspect.js")).inspectCommand(file, options)));

  program
    .command("disasm")
    .description("print an object's instructions as the kernel prints them, or as text for the assembler")
    .argument("<file>", "object (.o), program (.ts) or text (.asm, .s, .bpf)")
    .option("--opcodes", "with the bytes of each instruction")
    .option("--linum", "with the source lines")
    .addOption(
      new Option("--dialect <dialect>", "text that asm takes, in the words of the kernel's log, of LLVM, or mnemonics")
        .choices(["kernel", "llvm", "mnemonic"])
        .conflicts(["opcodes", "linum"]),
    )
    .action(async (file, options) => done(await (await import("./disasm.js")).disasm(file, options)));

  const btf = program.command("btf").description("show the types (BTF) of kernels, modules and objects");
  btf
    .command("dump")
    .description("print types: raw as bpftool does, as a C header, as TypeScript declarations")
    .argument("[file]", "raw BTF, or an ELF file with a section .BTF (default: the running kernel's types)")
    .addOption(new Option("--format <format>", "what to print").choices(["raw", "c", "ts"]).default("raw"))
    .option("--root <type>", "only this type, a name or an id, and what it needs; may be repeated", several)
    .option("--base <file>", "the types that the file's continue (default for /sys/kernel/btf/MODULE: vmlinux)")
    .option("--unsorted", "C definitions in the order of their ids, not by name")
    .action(async (file, options) => done((await import("./btf.js")).btfDumpCommand(file, options)));
  btf
    .command("check")
    .description("say what the kernel says of types when they are loaded (BPF_BTF_LOAD)")
    .argument("<file>", "raw BTF as it is, or an object's or program's as the kernel gets it")
    .option("--log", "with the kernel's log")
    .option("--vmlinux <file>", "the kernel's own BTF (default: /sys/kernel/btf/vmlinux, read only when needed)")
    .option("--json", "as JSON")
    .action(async (file, options) => done(await (await import("./btf-check.js")).btfCheckCommand(file, options)));

  program
    .command("layout")
    .description("print how structs lie in memory: offsets, sizes, holes, cache lines")
    .argument("[name...]", "structs, unions or typedefs (default: all with a name)")
    .option("--btf <file>", "raw BTF, or an ELF file with a section .BTF (default: the running kernel's types)")
    .option("--base <file>", "the types that the file's continue")
    .addOption(
      new Option("--sort <key>", "order of several; without names a list of name, size and number of holes").choices([
        "size",
        "name",
        "holes",
      ]),
    )
    .option("--contains <name>", "only structs that hold this one; without names a list")
    .option("--expand", "write out the structs that are members")
    .option("--json", "one JSON object per struct")
    .action(async (names, options) => done((await import("./layout.js")).layoutCommand(names, options)));

  return program;
}

/**
 * Runs one command line (with the two words that Node puts in front) and gives its exit code.
 * @throws NeedsMore when it must be run again by more of bpfsmith than runs; nothing has happened then.
 */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = ExitCode.OK;
  try {
    await commandLine((result) => {
      code = result;
    }).parseAsync(argv as string[]);
    return code;
  } catch (error) {
    if (error instanceof NeedsMore) throw error;
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
    return reportError(error);
  }
}
