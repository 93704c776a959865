/**
 * Scripts that complete `context-cache` in a shell. At each Tab the shell calls `context-cache complete -- WORDS`. A line of
 * its output is a candidate, a tab and a description; a line that starts with a tab makes the shell complete `files` or
 * `dirs` itself. No candidate is ever evaluated, because any writer of the cache can choose the name of a namespace.
 */

const bash = `# Add to ~/.bashrc:  source <(context-cache completion bash)
_context_cache() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      $'\\tfiles') compopt -o default ;;
      $'\\tdirs') compopt -o dirnames ;;
      *) COMPREPLY+=("$(printf '%q' "\${line%%$'\\t'*}")") ;;
    esac
  done < <("$1" complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _context_cache context-cache
`;

const zsh = `# Add to ~/.zshrc, after compinit:  source <(context-cache completion zsh)
_context_cache() {
  local line kind description
  local -a candidates
  while IFS= read -r line; do
    case $line in
      $'\\t'*) kind=\${line#$'\\t'} ;;
      *)
        description=\${line#*$'\\t'}
        candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}\${description:+:$description}")
        ;;
    esac
  done < <("\${words[1]}" complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)
  case $kind in
    files) _files ;;
    dirs) _files -/ ;;
    *) _describe 'context-cache' candidates ;;
  esac
}
compdef _context_cache context-cache
`;

const fish = `# Save as a file:  context-cache completion fish > ~/.config/fish/completions/context-cache.fish
function __context_cache_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
    switch $line
      case \\tfiles
        __fish_complete_path "$current"
      case \\tdirs
        __fish_complete_directories "$current"
      case '*'
        echo $line
    end
  end
end
complete -c context-cache -f -a '(__context_cache_complete)'
`;

/** The script of each shell. */
export const SCRIPTS = { bash, zsh, fish } as const;

/** A shell with completions. */
export type Shell = keyof typeof SCRIPTS;
