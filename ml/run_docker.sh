#!/usr/bin/env bash
# Runs RoadSense's commands in a container that holds everything they need. docs/container.md.
set -euo pipefail

readonly WORDS="build test generate train evaluate report demo gui bash help"
readonly OUTPUT_FLAGS="--output_dir --output_page --output_file"
readonly PATH_FLAGS="--dataset_dir --sumo_cfg --base_dir --emulator_params --model --protocol --resume $OUTPUT_FLAGS"
# What a command may write to; the rest of the repository is read-only for it.
readonly WRITABLE="ml/models ml/scenarios/datasets .cache"
readonly IMAGE="${ROADSENSE_IMAGE:-roadsense}"
readonly EXIT_USAGE=2

usage() {
  cat <<'USAGE'
usage: ml/run_docker.sh WORD [arguments]

words:
  build     Build the image; needed once, and after a change of the packages.
  test      Run the tests; arguments are pytest's.
  generate  Generate a dataset of scenarios.
  train     Train a policy, evaluate it and record the run.
  evaluate  Evaluate a policy.
  report    Write the page of an evaluation by a protocol.
  demo      Generate a small dataset, train on it and compare with the packaged policy;
            arguments are train's.
  gui       Train with SUMO's window on this machine's display.
  bash      Open a shell, or run one with arguments.
  help      Show this.

Arguments after the word are passed through: 'ml/run_docker.sh train --help' lists train's.
Relative paths count from the repository root, which the container sees as /work. A command can
write below ml/models and ml/scenarios/datasets only; 'test' and 'bash' can write to all of /work.

environment:
  ROADSENSE_CONTAINER_ENGINE  docker or podman (default: the first that answers)
  ROADSENSE_BUILD_ARGS        further arguments of the engine's build, as shell words
  ROADSENSE_RUN_ARGS          further arguments of the engine's run, as shell words
  ROADSENSE_IMAGE             name of the image (default: roadsense)
USAGE
}

fail() { # message [exit status]
  printf 'run_docker.sh: error: %s\n' "$1" >&2
  exit "${2:-1}"
}

repository_root() { # the folder above this script's, wherever it is called from
  local script="${BASH_SOURCE[0]}" folder
  while [ -L "$script" ]; do
    folder="$(cd -P "$(dirname "$script")" && pwd)"
    script="$(readlink "$script")"
    case "$script" in /*) ;; *) script="$folder/$script" ;; esac
  done
  (cd -P "$(dirname "$script")/.." && pwd)
}

# --- Words ---------------------------------------------------------------------------------------

edit_distance() { # a b: insertions, deletions and replacements that turn a into b
  local a="$1" b="$2" i j cost best row=() previous=()
  for ((j = 0; j <= ${#b}; j++)); do row[j]=$j; done
  for ((i = 1; i <= ${#a}; i++)); do
    previous=("${row[@]}")
    row[0]=$i
    for ((j = 1; j <= ${#b}; j++)); do
      cost=1
      [ "${a:i-1:1}" != "${b:j-1:1}" ] || cost=0
      best=$((previous[j - 1] + cost))
      ((previous[j] + 1 >= best)) || best=$((previous[j] + 1))
      ((row[j - 1] + 1 >= best)) || best=$((row[j - 1] + 1))
      row[j]=$best
    done
  done
  printf '%s\n' "${row[${#b}]}"
}

refuse_word() { # word
  local word nearest='' distance smallest=3
  for word in $WORDS; do
    distance="$(edit_distance "${1:0:20}" "$word")"
    if ((distance < smallest)); then
      smallest=$distance
      nearest=$word
    fi
  done
  [ -z "$nearest" ] || fail "unknown word '$1'. Did you mean '$nearest'?" "$EXIT_USAGE"
  fail "unknown word '$1'. Known: ${WORDS// /, }." "$EXIT_USAGE"
}

# --- Engine --------------------------------------------------------------------------------------

answers() { "$1" info >/dev/null 2>&1; } # a client without an engine fails here

find_engine() {
  local engine
  if [ -n "${ROADSENSE_CONTAINER_ENGINE:-}" ]; then
    answers "$ROADSENSE_CONTAINER_ENGINE" ||
      fail "ROADSENSE_CONTAINER_ENGINE must name a container engine that answers. Got '$ROADSENSE_CONTAINER_ENGINE', whose 'info' fails. Start it, or unset the variable."
    printf '%s\n' "$ROADSENSE_CONTAINER_ENGINE"
    return
  fi
  for engine in docker podman; do
    if answers "$engine"; then
      printf '%s\n' "$engine"
      return
    fi
  done
  fail "no container engine answers: both 'docker info' and 'podman info' fail. Start Docker, or install podman."
}

set_owner() { # fills owner: the caller, or the checkout's owner where root calls, as with sudo
  owner="$(id -u):$(id -g)"
  [ "$(id -u)" != 0 ] || owner="$(stat -c %u:%g "$root" 2>/dev/null || stat -f %u:%g "$root")"
}

set_user_options() { # fills user_options: inside as outside, so that files belong to their owner
  user_options=(--user "$owner")
  case "$("$engine" --version 2>/dev/null)" in
  *[Pp]odman*)
    [ "$("$engine" info --format '{{.Host.Security.Rootless}}' 2>/dev/null)" != true ] ||
      user_options=(--userns=keep-id --user "$owner")
    ;;
  *)
    # A rootless docker maps its root to the caller, and every other user to somebody else.
    case "$("$engine" info --format '{{.SecurityOptions}}' 2>/dev/null)" in
    *rootless*)
      user_options=(--user 0:0)
      return
      ;;
    esac
    ;;
  esac
  [ "${owner%%:*}" != 0 ] ||
    printf 'run_docker.sh: warning: root owns the repository, so the container runs as root, without capabilities. Give it to a user: chown -R USER %q.\n' "$root" >&2
}

read_words() { # variable's name: fills words with its content, split as a shell splits, not run
  local split word
  words=()
  [ -n "${!1:-}" ] || return 0
  split="$(printf '%s\n' "${!1}" | xargs printf '%s\n' 2>/dev/null)" ||
    fail "$1 must be words as a shell reads them. Got ${!1}. Close its quotes."
  while IFS= read -r word; do words+=("$word"); done <<<"$split"
}

packages_hash() { # names what the image is built from
  cat "$root/ml/Dockerfile" "$root"/requirements*.lock | cksum | tr ' ' -
}

# --- Paths ---------------------------------------------------------------------------------------

normal_path() { # absolute path: the same without '.', '..' and doubled slashes, existing or not
  local rest="$1/" part normal=''
  while [ -n "$rest" ]; do
    part="${rest%%/*}"
    rest="${rest#*/}"
    case "$part" in
    '' | .) ;;
    ..) normal="${normal%/*}" ;;
    *) normal="$normal/$part" ;;
    esac
  done
  printf '%s\n' "${normal:-/}"
}

is_below() { # path folder
  case "$1/" in "${2%/}/"*) return 0 ;; esac
  return 1
}

is_mounted() { # path: whether ROADSENSE_RUN_ARGS mounts it at this place
  local word target
  [ ${#run_words[@]} -gt 0 ] || return 1
  for word in "${run_words[@]}"; do
    target=''
    case "$word" in
    *target=/*) target="${word#*target=}" ;;
    *dst=/*) target="${word#*dst=}" ;;
    *destination=/*) target="${word#*destination=}" ;;
    *:/*) target="${word#*:}" ;;
    esac
    target="${target%%[:,]*}"
    if [ -n "$target" ] && is_below "$1" "$target"; then return 0; fi
  done
  return 1
}

check_output() { # flag value path-in-the-repository: refuses what is read-only in the container
  local folder
  for folder in $WRITABLE; do
    if is_below "$3" "$folder"; then return 0; fi
  done
  case " $OUTPUT_FLAGS " in
  *" $1 "*) fail "$1 must be below ml/models or ml/scenarios/datasets: the rest of the repository is read-only in the container. Got '$2'. Choose a path there, or mount a folder with ROADSENSE_RUN_ARGS." "$EXIT_USAGE" ;;
  esac
}

check_path() { # flag value: refuses a path that the container cannot see, or not write
  local path real
  case "$2" in
  '') return 0 ;;
  /*) path="$(normal_path "$2")" ;;
  *) path="$(normal_path "$root/$2")" ;;
  esac
  if is_mounted "$path"; then return 0; fi
  case "$2" in
  /*)
    if [ "$root" != /work ] && is_below "$path" "$root"; then
      real="${path#"$root"}"
      real="${real#/}"
      fail "$1 must be a path that the container sees. Got '$2'. Write '${real:-.}': paths count from the repository root." "$EXIT_USAGE"
    fi
    if is_below "$path" /work; then
      check_output "$1" "$2" "${path#/work/}"
      return 0
    fi
    ;;
  *)
    if is_below "$path" "$root"; then
      check_output "$1" "$2" "${path#"$root"/}"
      return 0
    fi
    ;;
  esac
  fail "$1 must be a path that the container sees. Got '$2', which is outside the repository. Copy it under $root, or mount it: ROADSENSE_RUN_ARGS=\"-v '$path:$path'\" and write '$path'." "$EXIT_USAGE"
}

path_flag() { # argument: the flag that takes a path and that this one is, or abbreviates
  local flag
  for flag in $PATH_FLAGS; do
    case "$flag" in
    "$1"*) [ ${#1} -gt 2 ] && printf '%s\n' "$flag" && return 0 ;;
    esac
  done
  return 1
}

check_paths() { # arguments: the value of each path flag, and all values of --model
  local flag='' value
  while [ $# -gt 0 ]; do
    value="$1"
    case "$1" in
    -*)
      flag="$(path_flag "${1%%=*}")" || flag=''
      value=''
      case "$1" in *=*) value="${1#*=}" ;; esac
      ;;
    esac
    if [ -n "$flag" ] && [ -n "$value" ]; then
      check_path "$flag" "$value"
      [ "$flag" = --model ] || flag=''
    fi
    shift
  done
}

# --- Build and run -------------------------------------------------------------------------------

build() {
  read_words ROADSENSE_BUILD_ARGS
  exec "$engine" build -f "$root/ml/Dockerfile" -t "$IMAGE" \
    --label "roadsense.packages=$(packages_hash)" ${words[@]+"${words[@]}"} "$@" "$root"
}

check_image() { # fills image_id; the image must be there, and should be of today's packages
  local found
  found="$("$engine" image inspect --format '{{.Id}} {{index .Config.Labels "roadsense.packages"}}' "$IMAGE" 2>/dev/null)" ||
    fail "the image '$IMAGE' is not built yet. Run '$0 build' first."
  image_id="${found%% *}"
  [ "${found#* }" = "$(packages_hash)" ] ||
    printf "run_docker.sh: warning: the packages have changed since the image was built. Run '%s build'.\n" "$0" >&2
}

set_window_options() { # fills window_options: the host's display, its socket and its key
  local authority="${XAUTHORITY:-${HOME:-}/.Xauthority}" socket
  [ -n "${DISPLAY:-}" ] ||
    fail "gui needs a display: DISPLAY must be set. Got none. Run it in a desktop session, or use 'train'."
  window_options=(-e "DISPLAY=$DISPLAY" --security-opt label=disable)
  case "$DISPLAY" in
  :*)
    socket="${DISPLAY#:}"
    socket="/tmp/.X11-unix/X${socket%%.*}"
    [ -S "$socket" ] ||
      fail "gui needs a display: $socket must exist for DISPLAY=$DISPLAY. Got none. Start the X server, or correct DISPLAY."
    window_options+=(-v /tmp/.X11-unix:/tmp/.X11-unix)
    ;;
  *) window_options+=(--network=host) ;;
  esac
  # The key is kept under the host's name, so the container has to bear it.
  [ ! -f "$authority" ] ||
    window_options+=(--hostname "$(uname -n)" -v "$authority:/tmp/.Xauthority-host:ro" -e XAUTHORITY=/tmp/.Xauthority-host)
}

is_networked() { # whether the caller's or the window's options choose a network
  local word
  for word in ${window_options[@]+"${window_options[@]}"} ${run_words[@]+"${run_words[@]}"}; do
    case "$word" in --network | --network=* | --net | --net=*) return 0 ;; esac
  done
  return 1
}

set_confinement() { # word: fills confinement with what the container may not do, and where it writes
  local folder exec=noexec
  case "$1" in test | bash) exec=exec ;; esac # tests run programs that they write
  confinement=(--read-only --cap-drop=ALL --security-opt=no-new-privileges --pids-limit=4096)
  confinement+=(--tmpfs "/tmp:rw,nosuid,nodev,$exec,mode=1777")
  confinement+=(--tmpfs "/home/roadsense:rw,nosuid,nodev,noexec,mode=1777")
  is_networked || confinement+=(--network=none)
  case "$1" in
  test | bash) confinement+=(-v "$root:/work:Z") ;;
  *)
    confinement+=(-v "$root:/work:ro,Z")
    for folder in $WRITABLE; do confinement+=(-v "$root/$folder:/work/$folder:Z"); done
    ;;
  esac
}

set_run_options() { # word: fills options with everything between 'run' and the image
  local name
  set_confinement "$1"
  options=(--rm "${user_options[@]}" "${confinement[@]}" -w /work)
  options+=(-e "GIT_COMMIT=$(git -c "safe.directory=$root" -C "$root" rev-parse HEAD 2>/dev/null || printf '%s' "${GIT_COMMIT:-unknown}")")
  options+=(-e "ROADSENSE_CONTAINER_IMAGE=$IMAGE@sha256:${image_id#sha256:}")
  for name in NO_COLOR ROADSENSE_DEBUG; do
    [ -z "${!name:-}" ] || options+=(-e "$name=${!name}")
  done
  # A terminal in the container joins its two outputs, so all three must be one here already.
  if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then
    options+=(-i -t)
  elif [ "$1" = bash ]; then
    options+=(-i) # a script may come through a pipe
  fi
  [ ${#window_options[@]} -eq 0 ] || options+=("${window_options[@]}")
  [ ${#run_words[@]} -eq 0 ] || options+=("${run_words[@]}")
}

make_writable() { # what commands write to; compiled kernels outlive the container in .cache
  local folder
  for folder in $WRITABLE; do
    { mkdir -p "$root/$folder" && { [ "$(id -u)" != 0 ] || chown "$owner" "$root/$folder"; }; } ||
      fail "$root/$folder must be a folder that can be written to. Change its owner, or remove it."
  done
  [ -f "$root/.cache/.gitignore" ] || echo '*' >"$root/.cache/.gitignore" ||
    fail "$root/.cache must be a folder that can be written to. Change its owner, or remove it."
}

# What the word demo runs in the container; its arguments are train's, and may name another folder.
# shellcheck disable=SC2016 # expanded there, not here
readonly DEMO='set -euo pipefail
rm -rf ml/scenarios/datasets/demo ml/models/runs/demo
python -m ml.scripts.gen_scenarios --base_dir ml/scenarios/base --output_dir ml/scenarios/datasets/demo --seed 42 --train_count 90 --eval_count 90
python -m ml.training.train_convoy --dataset_dir ml/scenarios/datasets/demo --total_timesteps 20000 --eval_episodes 90 --output_dir ml/models/runs/demo --run_id demo "$@"
[ -e ml/models/runs/demo ] || exit 0
exec python -m ml.evaluation.run --model ml/models/runs/demo packaged --episodes 90 --skip_baselines'

main() {
  local word="${1:-help}" command
  [ $# -eq 0 ] || shift
  case "$word" in
  help | -h | --help) usage && exit 0 ;;
  build) command=() ;;
  test) command=(python -m pytest) ;;
  generate) command=(python -m ml.scripts.gen_scenarios) ;;
  train) command=(python -m ml.training.train_convoy) ;;
  evaluate) command=(python -m ml.evaluation.run) ;;
  report) command=(python -m ml.reporting.report) ;;
  demo) command=(bash -c "$DEMO" demo) ;;
  gui) command=(python -m ml.training.train_convoy --gui) ;;
  bash) command=(bash) ;;
  *) refuse_word "$word" ;;
  esac
  case "$word:${1:-}" in
  test:) command+=(--numprocesses 2 --dist worksteal) ;; # as 'make test'
  demo:-h | demo:--help) command=(python -m ml.training.train_convoy) ;;
  esac

  root="$(repository_root)"
  read_words ROADSENSE_RUN_ARGS
  run_words=(${words[@]+"${words[@]}"})
  window_options=()
  case "$word" in build | test | bash) ;; *) check_paths "$@" ;; esac
  [ "$word" != gui ] || set_window_options
  case "$root" in *:*) fail "the repository's path must hold no colon, which separates a mount's parts. Got '$root'. Move it." ;; esac

  engine="$(find_engine)"
  [ "$word" != build ] || build "$@"
  check_image
  set_owner
  set_user_options
  make_writable
  set_run_options "$word"
  exec "$engine" run "${options[@]}" "$IMAGE" "${command[@]}" "$@"
}

main "$@"
