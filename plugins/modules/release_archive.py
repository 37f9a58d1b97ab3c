#!/usr/bin/python
"""Documentation of the action `release_archive`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_archive
short_description: Packs a project's source into an archive that is named by its content
description:
  - Packs a local folder, or a version of a git repository, into a tar file on the controller. The file has the same
    bytes for the same content, so that many hosts share one and an unchanged source makes nothing new.
  - From a folder it takes what git would, be it in a work tree or not. Files that C(.gitignore) names stay behind, and
    well-known debris.
  - It also reads what the project needs. Requirements files of any kind become one list.
  - Archives are a cache of the controller, so it never reports a change. It is an action and not a module, because on
    the controller the start of another interpreter would take longer than the work.
options:
  folder: {description: Folder of the source., type: path}
  repository: {description: 'Address of a git repository, in place of O(folder).', type: str}
  version: {description: 'Branch, tag or commit of O(repository).', type: str, default: HEAD}
  backend:
    description: Folder that requirements are relative to. Files that they include are read, too.
    type: str
    default: .
  deploy_key: {description: 'Text of a private SSH key, for git on the controller.', type: str, default: ''}
  submodules: {description: Whether submodules are packed as well., type: bool, default: true}
  requirements:
    description: 'Files with what the project needs: requirements, pyproject.toml, uv.lock, poetry.lock, Pipfile.lock.'
    type: list
    elements: str
    default: []
  packages:
    {description: 'Additional packages, as lines of a requirements file.', type: list, elements: str, default: []}
  constraints: {description: 'Constraints, as lines of a constraints file.', type: list, elements: str, default: []}
  python:
    description: Version of the host's Python, to check whether the project supports it. Empty to skip that.
    type: str
    default: ''
  marker:
    description: The last file in the archive. A folder that has it was unpacked completely.
    type: str
    required: true
  cache: {description: Folder that keeps archives and clones., type: path, required: true}
attributes:
  check_mode: {description: Makes no difference., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Pack the source
  channels.stack.release_archive:
    repository: https://git.example.org/team/dashboard.git
    version: v1.4.2
    deploy_key: "{{ vault_deploy_key }}"
    backend: backend
    requirements: [requirements/base.txt]
    packages: [gunicorn]
    constraints: ["redis<8"]
    python: 3.11.2
    marker: .complete
    cache: .cache
  register: __archive
"""

RETURN = r"""
release:
  description: Twelve hexadecimal digits of the commit or of the folder's content.
  type: str
  returned: success
path: {description: Path of the archive., type: str, returned: success}
requirements:
  description: Path of a JSON file with what the project needs, its lines, constraints and overrides.
  type: str
  returned: success
requirements_hash: {description: Name of what the project needs., type: str, returned: success}
needs_git: {description: Whether packages come from git., type: bool, returned: success}
needs_source: {description: Whether some are in the source itself., type: bool, returned: success}
notices: {description: What whoever deploys should know., type: list, elements: str, returned: success}
size: {description: 'Bytes of the source, unpacked.', type: int, returned: success}
version: {description: 'What was asked for, a version or a folder''s name.', type: str, returned: success}
"""

# The action does all of it, on the controller: plugins/action/release_archive.py. ansible-doc reads this file.
