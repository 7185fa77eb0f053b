"""Loading: the template from its first moment on, which must not outlive who waits for it.

Until everything is loaded, and perhaps compiled for minutes, it doesn't hear how that one ends.
"""

import signal

from pipeline.processes.template import end_with_parent

end_with_parent(signal.SIGKILL)
