/**
 * What teaches a shell to complete `context-cache`. A shell asks `context-cache complete -- WORDS` at each Tab: a line is a
 * candidate, a tab and what it means; a line that begins with a tab has the shell complete `files` or `dirs` itself. No
 * candidate is ever evaluated: names of namespaces come from whoever writes to the cache.
 */

const bash = `# Put this into ~/.bashrc:  source <(context-cache completion bash)
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

const zsh = `# Put this into ~/.zshrc, behind compinit:  source <(context-cache completion zsh)
_context_cache() {
  local line place means
  local -a candidates
  while IFS= read -r line; do
    case $line in
      $'\\t'*) place=\${line#$'\\t'} ;;
      *)
        means=\${line#*$'\\t'}
        candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}\${means:+:$means}")
        ;;
    esac
  done < <("\${words[1]}" complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)
  case $place in
    files) _files ;;
    dirs) _files -/ ;;
    *) _describe 'context-cache' candidates ;;
  esac
}
compdef _context_cache context-cache
`;

const fish = `# Put this into a file:  context-cache completion fish > ~/.config/fish/completions/context-cache.fish
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

/** The shells, and what each is to read. */
export const SCRIPTS = { bash, zsh, fish } as const;

/** A shell that can be taught. */
export type Shell = keyof typeof SCRIPTS;
